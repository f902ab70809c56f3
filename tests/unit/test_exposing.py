"""Tensors leave a session with the values that the model has, whatever their order."""

import platform
import resource

import numpy as np
import onnx
import pytest

from onnxq.calibration import exposing as exposing_module
from onnxq.calibration.exposing import expose
from onnxq.diagnostics import OnnxqError
from onnxq.feeds.samples import Sample
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.sessions import CPU, open_session, run
from tests.onnx_text import model

# a and c fill blocks of 16 channels, b needs padding; c is read in a branch, and an output.
NET = """
net (float[1,16,9,9] x, bool yes) => (float[1,32,9,9] c, float[1,32,9,9] z)
<float[16,16,3,3] w, float[24,16,3,3] v, float[32,24,1,1] u> {
    p = Conv <pads = [1,1,1,1]> (x, w)
    a = Relu (p)
    q = Conv <pads = [1,1,1,1]> (a, v)
    b = Relu (q)
    c = Conv (b, u)
    z = If (yes) <
        then_branch = yes () => (float[1,32,9,9] s) { s = Neg (c) },
        else_branch = no () => (float[1,32,9,9] t) { t = Abs (c) }
    >
}
"""
INNER = ("a", "b", "c")
BLOCKS = pytest.mark.skipif(
    platform.machine().lower() not in {"x86_64", "amd64"}, reason="onnxruntime has blocks there"
)


@pytest.fixture(scope="module")
def proto():
    return model(NET)


@pytest.fixture(scope="module")
def sample():
    x = np.random.default_rng(0).standard_normal((1, 16, 9, 9)).astype(np.float32)
    x[0, 0, 0, 0] = np.nan
    return Sample(name="x", tensors={"x": x, "yes": np.array(True)}, digest="0")


@pytest.mark.parametrize("threads", [None, 1])
def test_values_are_those_of_the_model(proto, sample, threads):
    seen = expose(proto, INNER, providers=(CPU,), threads=threads).run(sample, ("x", *INNER))
    known = run(open_session(with_inner_outputs(proto, INNER)), INNER, sample)
    assert tuple(seen) == ("x", *INNER)
    for name, values in seen.items():
        assert values.dtype == np.float32
        ordered = (np.sort(x.ravel().view(np.uint32)) for x in (values, known[name]))
        np.testing.assert_array_equal(*ordered)


@BLOCKS
def test_blocks_without_padding_are_not_reordered(proto):
    outputs = expose(proto, INNER, providers=(CPU,), threads=None).outputs
    assert {name for name in INNER if outputs[name] != name} == {"a", "c"}


def test_what_nothing_asked_for_needs_is_not_run(proto, sample):
    exposing = expose(proto, ("a",), providers=(CPU,), threads=None)
    assert len(exposing.session.get_outputs()) == 1
    backwards = onnx.ModelProto.FromString(proto.SerializeToString())
    del backwards.graph.node[:]
    backwards.graph.node.extend(reversed(proto.graph.node))
    seen = expose(backwards, ("a",), providers=(CPU,), threads=None).run(sample, ("a",))["a"]
    expected = exposing.run(sample, ("a",))["a"]
    np.testing.assert_array_equal(seen, expected)


def test_ports_that_are_float32_have_the_names_of_their_tensors(proto):
    floats = expose(proto, INNER, providers=(CPU,), threads=None).floats()
    assert {"x", *INNER} <= floats
    assert "yes" not in floats


PAIRS = """
net (float[1,16,9,9] x) => (float[1,16,9,9] z)
<float[16,16,3,3] w, float s = {0.1}, int8 o = {0}> {
    q = QuantizeLinear (x, s, o)
    d = DequantizeLinear (q, s, o)
    p = Conv <pads = [1,1,1,1]> (d, w)
    pq = QuantizeLinear (p, s, o)
    pd = DequantizeLinear (pq, s, o)
    r = Relu (pd)
    z = Conv <pads = [1,1,1,1]> (r, w)
}
"""


def test_a_model_with_pairs_is_run_as_its_file_says(sample):
    """Optimized, onnxruntime fuses pairs, and values differ from those that the file means."""
    pairs, x = model(PAIRS), Sample(name="x", tensors={"x": sample.tensors["x"]}, digest="0")
    seen = expose(pairs, ("p", "z"), providers=(CPU,), threads=None).run(x, ("p", "z"))
    known = run(open_session(with_inner_outputs(pairs, ("p", "z")), as_written=True), ("p", "z"), x)
    for name, values in seen.items():
        np.testing.assert_array_equal(values, known[name])


def cannot_write(how, monkeypatch, tmp_path):
    """Take the space away from the temporary folder, or the folder."""
    if how == "no folder":
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    else:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(how), hard))
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    return lambda: None


@BLOCKS
@pytest.mark.parametrize("how", ["no folder", "0", "1000", "15000"])
def test_where_nothing_can_be_written_tensors_are_reordered(
    proto, sample, monkeypatch, tmp_path, how
):
    restore = cannot_write(how, monkeypatch, tmp_path)
    try:
        exposing = expose(proto, INNER, providers=(CPU,), threads=None)
    finally:
        restore()
    assert exposing.outputs == {name: name for name in INNER}
    (diagnostic,) = exposing.diagnostics
    assert (diagnostic.code, diagnostic.severity) == ("OQ445", "info")
    assert "TMPDIR" in diagnostic.fix
    seen, known = (
        e.run(sample, INNER)
        for e in (exposing, expose(proto, INNER, providers=(CPU,), threads=None))
    )
    for name in INNER:
        ordered = (np.sort(x.ravel().view(np.uint32)) for x in (seen[name], known[name]))
        np.testing.assert_array_equal(*ordered)


def test_nothing_is_reported_where_all_is_well(proto):
    assert expose(proto, INNER, providers=(CPU,), threads=None).diagnostics == ()
    assert expose(model(PAIRS), ("p",), providers=(CPU,), threads=None).diagnostics == ()


@BLOCKS
def test_a_fault_of_onnxq_is_not_hidden(proto, monkeypatch):
    monkeypatch.setattr(exposing_module, "_leave_as", {}.__getitem__)
    with pytest.raises(TypeError):
        expose(proto, INNER, providers=(CPU,), threads=None)


def test_a_model_that_cannot_be_run_is_an_error(proto):
    broken = onnx.ModelProto.FromString(proto.SerializeToString())
    broken.graph.node[0].op_type = "NoSuchOp"
    with pytest.raises(OnnxqError, match="OQ305") as caught:
        expose(broken, ("a",), providers=(CPU,), threads=None)
    assert caught.value.__cause__ is not None
