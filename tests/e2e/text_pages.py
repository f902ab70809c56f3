"""Pages of text, drawn: what a text detector looks for."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LINES = (
    "Every decision names the rule that made it",
    "INT8 2048 bins",
    "calibrate once, use it for every rule file",
    "A pair stands only where a rule put it",
    "Exit 73B, 12:45",
    "total 19.90",
    "Nothing is silent",
    "the last matching rule wins",
    "Concat, MaxPool, Slice",
    "QUICK BROWN FOX",
)


def text_page(seed, font_size, side=640):
    """A square page of noisy paper with lines in a random order, place and ink."""
    rng = np.random.default_rng(seed)
    paper = rng.normal(rng.integers(180, 255), 6, (side, side, 3)).clip(0, 255)
    page = Image.fromarray(paper.astype(np.uint8))
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(font_size)
    ink = int(rng.integers(0, 90))
    for line, y in zip(rng.permutation(LINES), range(20, side - 20, 2 * font_size), strict=False):
        draw.text((int(rng.integers(10, 120)), y), str(line), font=font, fill=(ink, ink // 2, ink))
    return page
