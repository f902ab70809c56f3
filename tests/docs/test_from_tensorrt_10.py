"""docs/tutorials/from-tensorrt-10.md runs, and the file has the scales of the cache."""

import re
import shutil
import struct

import numpy as np
import onnx
import pytest

from tests.cli.conftest import make_picture
from tests.docs.models import MODEL, named_as_exported
from tests.docs.pages import run_page
from tests.documents import ROOT

PAGE = "docs/tutorials/from-tensorrt-10.md"
CACHE = ROOT / "docs/tutorials/calib.cache"


def cached():
    """The float32 of each name of the cache."""
    _, *lines = CACHE.read_text().splitlines()
    entries = (line.rsplit(": ", 1) for line in lines)
    return {name: struct.unpack(">f", bytes.fromhex(bits))[0] for name, bits in entries}


def scales(path):
    """The scale of each activation that has a pair."""
    graph = onnx.load(path).graph
    constants = {c.name: onnx.numpy_helper.to_array(c) for c in graph.initializer}
    return {
        node.input[0]: float(constants[node.input[1]])
        for node in graph.node
        if node.op_type == "QuantizeLinear"
    }


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorrt10")
    onnx.save(named_as_exported(MODEL), folder / "model.onnx")
    shutil.copyfile(CACHE, folder / "calib.cache")
    for name, numbers in (("imgs", range(6)), ("others", range(6, 9))):
        (folder / name).mkdir()
        for number in numbers:
            make_picture(folder / name / f"{number}.png", number)
    return folder, dict(run_page(PAGE, folder))


def test_the_scales_are_those_of_the_cache_bit_for_bit(ran):
    folder, outcomes = ran
    of_cache = cached()
    written = scales(folder / "model.qdq.onnx")
    assert written == {name: of_cache[name] for name in ("images", "/model.0/act/Relu_output_0")}
    imported = outcomes["onnxq cache import calib.cache --model model.onnx"].stderr
    assert re.findall(r"^\w+\[(OQ\d+)\]", imported, re.MULTILINE) == ["OQ452"]


def test_the_rule_leaves_the_first_conv_in_float(ran):
    folder, _ = ran
    assert list(scales(folder / "mine.qdq.onnx")) == ["/model.0/act/Relu_output_0"]


def test_the_example_of_a_scale():
    bits, scale, amax = re.search(
        r"`(\w+)` is ([\d.]+), so that `images` goes up to ([\d.]+)\.", (ROOT / PAGE).read_text()
    ).groups()
    value = np.frombuffer(bytes.fromhex(bits), ">f4")[0]
    assert (f"{value:.5f}", f"{value * 127:.3f}") == (scale, amax)
    assert cached()["images"] == value
