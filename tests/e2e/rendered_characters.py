"""Pictures with rotated characters, drawn: what the YOLOX of ddddocr finds."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabdefghkmnpqrstuxyz23456789"


def characters(seed, side=416):
    """A picture of noise and stripes, with four to eight characters at random places."""
    rng = np.random.default_rng(seed)
    paper = rng.normal(rng.integers(120, 240, 3), 12, (side, side, 3)).clip(0, 255)
    picture = Image.fromarray(paper.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        ends = [int(v) for v in rng.integers(0, side, 4)]
        draw.line(ends, fill=tuple(int(v) for v in rng.integers(0, 255, 3)), width=2)
    places = rng.permutation(9)[: rng.integers(4, 9)]
    for place in places:
        size = int(rng.integers(50, 100))
        font = ImageFont.load_default(size)
        glyph = Image.new("L", (130, 130))
        letter = LETTERS[rng.integers(len(LETTERS))]
        ImageDraw.Draw(glyph).text((65, 65), letter, font=font, fill=255, anchor="mm")
        glyph = glyph.rotate(float(rng.uniform(-35, 35)))
        ink = Image.new("RGB", glyph.size, tuple(int(v) for v in rng.integers(0, 110, 3)))
        corner = (4 + 138 * (int(place) % 3), 4 + 138 * (int(place) // 3))
        picture.paste(ink, corner, glyph)
    return picture
