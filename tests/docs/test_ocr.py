"""docs/tutorials/ocr.md: the page runs, and the int8 models read what the float ones do."""

import re
import shutil
from difflib import SequenceMatcher

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.conftest import packaged
from tests.docs.pages import run_page
from tests.documents import ROOT
from tests.e2e.text_pages import LINES

PAGE = "docs/tutorials/ocr.md"
MODELS = {
    "det": "ch_PP-OCRv4_det_infer.onnx",
    "cls": "ch_ppocr_mobile_v2.0_cls_infer.onnx",
    "rec": "ch_PP-OCRv4_rec_infer.onnx",
}
SIZES = ((640, 640), (640, 480))


def page(seed):
    """A page of lines of text, of which every third is upside down, and what they say."""
    rng = np.random.default_rng(seed)
    width, height = SIZES[seed % 2]
    paper = rng.normal(rng.integers(200, 255), 6, (height, width, 3)).clip(0, 255)
    picture = Image.fromarray(paper.astype(np.uint8))
    texts = [str(line) for line in rng.permutation(LINES)[: (height - 60) // 70]]
    for number, text in enumerate(texts):
        font = ImageFont.load_default(int(rng.integers(12, 24)))
        glyphs = Image.new("L", (width - 40, 50))
        ImageDraw.Draw(glyphs).text((5, 25), text, 255, font, anchor="lm")
        glyphs = glyphs.crop(glyphs.getbbox()).rotate(180 * (number % 3 == 2))
        ink = tuple(int(v) for v in rng.integers(0, 90, 3))
        left = int(rng.integers(10, width - glyphs.width - 10))
        picture.paste(ink, (left, 20 + 70 * number), glyphs)
    return picture, texts


@pytest.fixture
def folder(tmp_path):
    for name, file in MODELS.items():
        shutil.copy(packaged("rapidocr_onnxruntime", f"models/{file}"), tmp_path / f"{name}.onnx")
    truth = []
    for name, seeds in (("imgs", range(12)), ("others", range(100, 106))):
        (tmp_path / name).mkdir()
        for seed in seeds:
            picture, texts = page(seed)
            picture.save(tmp_path / name / f"{seed}.png")
            if name == "others":
                truth += [f"[{seed}.png]", *texts]
    (tmp_path / "truth.txt").write_text("\n".join(truth) + "\n")
    return tmp_path


def columns():
    """The columns of the table with the text of a page."""
    text = (ROOT / PAGE).read_text()
    rows = re.search(r"^\| on the page.*\n.*\n((?:\|.*\n)+)", text, re.MULTILINE)[1].splitlines()
    cells = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    return [list(column) for column in zip(*cells, strict=True)]


def of_page(name, path):
    """What a file has of a page."""
    _, _, rest = path.read_text("utf-8").partition(f"[{name}]\n")
    return rest.partition("\n[")[0].splitlines()


@pytest.mark.long
def test_the_page_runs_and_the_text_stays(folder):
    printed = dict(run_page(PAGE, folder))["make"].stdout
    figures = re.findall(r"^(\w+)\.txt: (\d+) of 48 lines right, ([\d.]+)%", printed, re.MULTILINE)
    (_, in_float, _), (_, in_int8, characters) = figures
    assert int(in_float) >= 46
    assert int(in_int8) >= int(in_float) - 6  # measured: 48 and 45
    assert float(characters) > 99
    truth, read, read_in_int8 = columns()
    assert truth == of_page("101.png", folder / "truth.txt")
    assert read == of_page("101.png", folder / "float.txt")
    own = "\n".join(of_page("101.png", folder / "int8.txt"))
    assert SequenceMatcher(None, "\n".join(read_in_int8), own).ratio() > 0.98
