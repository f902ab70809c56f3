"""The tutorials run from top to bottom, and what they say of the files is so."""

import re
import shutil

import numpy as np
import onnx
import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.conftest import packaged
from tests.docs.pages import run_page
from tests.documents import ROOT

WORDS = ("onnxq", "Gate 14", "INT8", "2048 km", "left", "Paper")


def lines_of_text(numbers):
    """Inputs of the direction classifier of PP-OCR: rendered lines, every second upside down."""
    pictures = []
    for number in numbers:
        picture = Image.new("RGB", (192, 48), (255 - number, 250, 240 - number))
        font = ImageFont.load_default(16 + number)
        ImageDraw.Draw(picture).text((3 * number, 6), WORDS[number % 6], font=font, fill="black")
        pictures.append(np.asarray(picture.rotate(180 * (number % 2)), np.float32))
    return (np.stack(pictures).transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32)


def pairs(path):
    return sum(node.op_type == "DequantizeLinear" for node in onnx.load(path).graph.node)


@pytest.fixture(scope="module")
def from_quantize_static(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantize_static")
    path = packaged("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx")
    shutil.copyfile(path, folder / "model.onnx")
    np.save(folder / "calibration.npy", lines_of_text(range(6)))
    np.save(folder / "others.npy", lines_of_text(range(6, 9)))
    return folder, dict(run_page("docs/tutorials/from-quantize-static.md", folder))


@pytest.mark.parametrize(("column", "name"), [(2, "defaults"), (3, "symmetric")])
def test_lint_has_the_codes_of_the_table(column, name, from_quantize_static):
    _, outcomes = from_quantize_static
    text = (ROOT / "docs/tutorials/from-quantize-static.md").read_text()
    rows = [row.split("|") for row in re.findall(r"^\| OQ\d+:.*", text, re.MULTILINE)]
    said = {row[1].strip()[:5] for row in rows if row[column].strip()}
    printed = outcomes[f"onnxq lint {name}.onnx"].stdout
    assert set(re.findall(r"^\w+\[(OQ\d+)\]", printed, re.MULTILINE)) == said


def test_the_same_ops_are_int8_with_half_as_many_pairs(from_quantize_static):
    folder, outcomes = from_quantize_static
    expected = "expected: 54 weighted ops, 54 int8"
    for command in ("symmetric.onnx --fix -o repaired.onnx", "model.qdq.onnx"):
        assert expected in outcomes[f"onnxq lint {command}"].stdout
    assert 0.4 < pairs(folder / "model.qdq.onnx") / pairs(folder / "repaired.onnx") < 0.6


def test_the_rules_do_what_the_lists_did(from_quantize_static):
    _, outcomes = from_quantize_static
    printed = outcomes["onnxq plan model.onnx --rules mine.yaml"].stdout
    assert "52 of 54 weighted ops quantized" in printed
