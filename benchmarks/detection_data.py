"""Pictures with characters, faces and lines of text, drawn or composed from what packages ship.

Each function gives `count` inputs of its model, float32; the same seed gives the same pictures.
Backgrounds are of other photographs for `role` "calibration" than for "evaluation".
Faces to calibrate with are other people than the faces to evaluate on.
"""

import importlib.util
import string
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE = {"yolox": 416, "centerface": 416, "ppocr": 640}
CHARACTERS = [letter for letter in string.ascii_letters + string.digits if letter not in "1lIijoO0"]
LINE = (
    "calibrate once serve every rule file pair scale amax INT8 total 19.90 Exit 73B 12:45 QUICK "
    "brown fox engine Concat MaxPool Slice report layer weights output silent rules plan invoice "
    "No. 2048 street 7a Tuesday (draft) sample, histogram; percent 99.99% half-precision"
)
# Heads of people in pictures: package, file, box (left, top, right, bottom).
HEADS = {
    "calibration": (
        ("skimage", "data/astronaut.png", (130, 0, 340, 230)),
        ("ultralytics", "assets/bus.jpg", (90, 390, 190, 510)),
        ("ultralytics", "assets/zidane.jpg", (290, 100, 640, 520)),
    ),
    "evaluation": (
        ("ultralytics", "assets/zidane.jpg", (760, 20, 1140, 460)),
        ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", (100, 20, 420, 400)),
        ("ultralytics", "assets/bus.jpg", (220, 380, 320, 500)),
    ),
}
BACKGROUNDS = {
    "calibration": ("motorcycle_left", "hubble_deep_field", "ihc", "brick", "grass"),
    "evaluation": ("chelsea", "coffee", "coins", "rocket", "gravel"),
}


def packaged(package, path):
    """Return a file inside an installed package, which is never imported."""
    spec = importlib.util.find_spec(package)
    for folder in spec.submodule_search_locations if spec else ():
        if (Path(folder) / path).is_file():
            return Path(folder) / path
    raise FileNotFoundError(
        f"'{path}' of the package '{package}' is not installed: "
        "pip install --no-deps -r benchmarks/requirements.txt"
    )


@cache
def picture(package, path):
    """Return a packaged picture, RGB."""
    return Image.open(packaged(package, path)).convert("RGB")


@cache
def _font(name, size):
    if name == PILLOW:
        return ImageFont.load_default(size)
    return ImageFont.truetype(packaged("matplotlib", f"mpl-data/fonts/ttf/{name}.ttf"), size)


PILLOW = "the font in Pillow"
FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif", "DejaVuSerif-Bold",
    "DejaVuSans-Oblique", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBol",
)  # fmt: skip


def characters(count, seed, role, fonts=FONTS):
    """Inputs of YOLOX: rotated characters on noise, gradients and photographs, lines over them."""
    rng = np.random.default_rng(seed)
    side = SIDE["yolox"]
    canvases = [_background(rng, role, side) for _ in range(count)]
    for canvas in canvases:
        for _ in range(rng.integers(3, 9)):
            _paste_character(rng, canvas, fonts)
        draw = ImageDraw.Draw(canvas)
        for _ in range(rng.integers(0, 4)):
            line = [int(v) for v in rng.integers(0, side, 4)]
            draw.line(line, fill=_colour(rng), width=int(rng.integers(1, 4)))
    return np.stack([_planes(_noisy(rng, c))[::-1] for c in canvases])  # BGR


def faces(count, seed, role):
    """Inputs of CenterFace: heads on photographs, turned, blurred, brightened, in many sizes."""
    rng = np.random.default_rng(seed)
    side = SIDE["centerface"]
    canvases = [_background(rng, role, side) for _ in range(count)]
    for canvas in canvases:
        for column in range(3):
            _paste_head(rng, canvas, role, column * side // 3, side // 3)
    return np.stack([_planes(_noisy(rng, c)) for c in canvases])  # RGB


def lines_of_text(count, seed, role):
    """Inputs of the PP-OCR detector: lines of words in many fonts and sizes on paper."""
    rng = np.random.default_rng(seed)
    side = SIDE["ppocr"]
    pages = [_background(rng, role, side) for _ in range(count)]
    for page in pages:
        draw, y = ImageDraw.Draw(page), int(rng.integers(4, 30))
        while y < side - 40:
            size = int(rng.integers(11, 34))
            text = " ".join(rng.choice(LINE.split(), rng.integers(1, 6)))
            place = (int(rng.integers(4, side // 2)), y)
            font = _font(str(rng.choice(FONTS)), size)
            box = draw.textbbox(place, text, font)
            draw.text(place, text, font=font, fill=_ink(rng, page.crop(box)))
            y += size + int(rng.integers(8, 30))
    normal = [_planes(_noisy(rng, p))[::-1] / 127.5 - 1 for p in pages]  # BGR, -1 to 1
    return np.stack(normal).astype(np.float32)


def photographs(count, seed, role):
    """Cuts of photographs, RGB, 256x256, as pictures: no label, no background that was drawn."""
    rng = np.random.default_rng(seed)
    return [_cut(rng, role, 256) for _ in range(count)]


def _paste_character(rng, canvas, fonts):
    size = int(rng.integers(28, 90))
    font = _font(str(rng.choice(fonts)), size)
    glyph = Image.new("L", (2 * size, 2 * size))
    ImageDraw.Draw(glyph).text((size, size), str(rng.choice(CHARACTERS)), 255, font, anchor="mm")
    glyph = glyph.rotate(rng.uniform(-40, 40), resample=Image.Resampling.BILINEAR)
    glyph = glyph.crop(glyph.getbbox())
    place = [int(rng.integers(0, canvas.width - extent)) for extent in glyph.size]
    under = canvas.crop((*place, place[0] + glyph.width, place[1] + glyph.height))
    canvas.paste(_ink(rng, under), (*place,), glyph)


def _paste_head(rng, canvas, role, left, width):
    package, path, box = HEADS[role][rng.integers(len(HEADS[role]))]
    head = picture(package, path).crop(box)
    size = int(rng.integers(28, width))
    head = head.resize((size, size * head.height // head.width), Image.Resampling.LANCZOS)
    if rng.random() < 0.5:
        head = head.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.3:
        head = head.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.5)))
    head = head.point(_brightness(rng))
    mask = Image.new("L", head.size)
    ImageDraw.Draw(mask).ellipse((0, 0, head.width - 1, head.height - 1), fill=255)
    angle = rng.uniform(-20, 20)
    head, mask = (x.rotate(angle, resample=Image.Resampling.BILINEAR) for x in (head, mask))
    place = left + int(rng.integers(width - size)), int(rng.integers(canvas.height - head.height))
    canvas.paste(head, place, mask)


def _brightness(rng):
    gain, shift = rng.uniform(0.6, 1.3), rng.uniform(-25, 25)
    return [int(np.clip(gain * v + shift, 0, 255)) for v in range(256)] * 3


def _background(rng, role, side):
    """A cut of a photograph, a gradient, or plain paper."""
    kind = rng.random()
    if kind < 0.4:
        return _cut(rng, role, side)
    colours = rng.integers(90, 256, (2, 2, 3)).astype(np.uint8)
    if kind < 0.7:
        return Image.fromarray(colours).resize((side, side), Image.Resampling.BILINEAR)
    return Image.new("RGB", (side, side), _colour(rng))


def _cut(rng, role, side):
    name = str(rng.choice(BACKGROUNDS[role]))
    suffix = "jpg" if name in {"hubble_deep_field", "rocket"} else "png"
    photograph = picture("skimage", f"data/{name}.{suffix}")
    size = int(rng.integers(min(photograph.size) // 2, min(photograph.size)))
    x, y = (int(rng.integers(0, extent - size + 1)) for extent in photograph.size)
    return photograph.crop((x, y, x + size, y + size)).resize((side, side))


def _colour(rng):
    return tuple(int(v) for v in rng.integers(0, 256, 3))


def _ink(rng, under):
    """A colour that can be seen on what is under it."""
    mean = np.asarray(under, float).mean(axis=(0, 1))
    while True:
        colour = _colour(rng)
        if abs(float(np.mean(colour) - mean.mean())) > 60:
            return colour


def _noisy(rng, image):
    values = np.asarray(image, np.float32)
    return values + rng.normal(0, rng.uniform(0, 12), values.shape)


def _planes(values):
    return np.clip(values, 0, 255).transpose(2, 0, 1).astype(np.float32)
