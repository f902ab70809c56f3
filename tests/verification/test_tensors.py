"""Inner tensors: accumulated and local error of every pair and weighted op."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.sessions import open_session
from onnxq.verification import compare
from tests.onnx_text import model

from .models import fed

FLOAT = """
small (float[1,3,8,8] x) => (float[1,4,8,8] y) <float[4,3,3,3] w, float[4,4,3,3] v> {
    [first] a = Conv <pads = [1,1,1,1]> (x, w)
    [active] b = Relu (a)
    [second] y = Conv <pads = [1,1,1,1]> (b, v)
}
"""
QDQ = """
small (float[1,3,8,8] x) => (float[1,4,8,8] y)
    <float[4,3,3,3] w, float[4,4,3,3] v, float sx = {0.03}, float sb = {SB}, float sv = {0.03},
     int8 z = {0}> {
    [q1] xq = QuantizeLinear (x, sx, z)
    [d1] xd = DequantizeLinear (xq, sx, z)
    [first] a = Conv <pads = [1,1,1,1]> (xd, w)
    [active] b = Relu (a)
    [q2] bq = QuantizeLinear (b, sb, z)
    [d2] bd = DequantizeLinear (bq, sb, z)
    [qv] vq = QuantizeLinear (v, sv, z)
    [dv] vd = DequantizeLinear (vq, sv, z)
    [second] y = Conv <pads = [1,1,1,1]> (bd, vd)
}
"""


def qdq(text=QDQ, sb=0.2):
    return model(text.replace("SB", str(sb)))


@pytest.fixture
def samples():
    rng = np.random.default_rng(3)
    return list(fed(rng.normal(size=(1, 3, 8, 8)) for _ in range(3)))


def found(report):
    return {t.node: t for t in report.tensors}


def run(proto, tensors, names):
    session = open_session(with_inner_outputs(proto, names), as_written=True)
    return dict(zip(names, session.run(names, tensors), strict=True))


def quantized(array, scale):
    return np.clip(np.rint(array / np.float32(scale)), -128, 127) * np.float32(scale)


def sqnr(reference, test):
    reference, test = (np.concatenate(a).astype(np.float64) for a in (reference, test))
    return 10 * np.log10(np.sum(reference**2) / np.sum((reference - test) ** 2))


def test_figures_against_the_definitions(samples):
    """Local: float tensors quantized by numpy, the op alone by onnxruntime. Accumulated: both."""
    float_model, qdq_model = model(FLOAT), qdq()
    tensors = found(compare(float_model, qdq_model, samples, tensors=True))
    assert list(tensors) == ["q1", "first", "q2", "second"]
    expected = [run(float_model, s.tensors, ["a", "b", "y"]) for s in samples]
    actual = [run(qdq_model, s.tensors, ["xd", "a", "bd", "y"]) for s in samples]

    def accumulated(name, measured):
        return sqnr([e[name] for e in expected], [a[measured] for a in actual])

    for node, name, measured in (("first", "a", "a"), ("q2", "b", "bd"), ("second", "y", "y")):
        assert tensors[node].accumulated.sqnr_db == pytest.approx(accumulated(name, measured), 1e-3)
    b = [e["b"] for e in expected]
    local_b = [quantized(v, 0.2) for v in b]
    assert tensors["q2"].local.sqnr_db == pytest.approx(sqnr(b, local_b), abs=0.01)
    constants = {t.name: numpy_helper.to_array(t) for t in float_model.graph.initializer}
    alone = model(
        "one (float[1,4,8,8] b, float[4,4,3,3] v) => (float[1,4,8,8] y)"
        " { [c] y = Conv <pads = [1,1,1,1]> (b, v) }"
    )
    v = quantized(constants["v"], 0.03)
    local_y = [run(alone, {"b": value, "v": v}, ["y"])["y"] for value in local_b]
    assert tensors["second"].local.sqnr_db == pytest.approx(
        sqnr([e["y"] for e in expected], local_y), abs=0.01
    )
    assert tensors["q1"].local.sqnr_db == tensors["q1"].accumulated.sqnr_db


def test_places_along_the_network(samples):
    tensors = found(compare(model(FLOAT), qdq(), samples, tensors=True))
    told = {node: (t.kind, t.op, t.tensor, t.position) for node, t in tensors.items()}
    assert told == {
        "q1": ("pair", "QuantizeLinear", "x", 0),
        "first": ("op", "Conv", "a", 1),
        "q2": ("pair", "QuantizeLinear", "b", 2),
        "second": ("op", "Conv", "y", 3),
    }


@pytest.mark.parametrize("sb", [0.0001, 5.0])
def test_the_op_behind_a_bad_scale_is_to_blame(samples, sb):
    report = compare(model(FLOAT), qdq(sb=sb), samples, tensors=True)
    assert report.culprits == ("second",)
    tensors = found(report)
    assert tensors["q1"].local.sqnr_db > 30
    assert tensors["first"].local.sqnr_db > 30
    assert tensors["q2"].local.sqnr_db < 20
    assert tensors["second"].accumulated.sqnr_db < 20


def test_culprits_make_half_of_the_noise_and_one_less_does_not(samples):
    report = compare(model(FLOAT), qdq(), samples, tensors=True)
    noise = {t.node: t.noise for t in report.tensors if t.kind == "op"}
    assert noise["second"] == pytest.approx(
        10 ** (-found(report)["second"].local.sqnr_db / 10), rel=1e-12
    )
    chosen = sorted(noise[n] for n in report.culprits)
    assert sum(chosen[1:]) < sum(noise.values()) / 2 <= sum(chosen)
    nothing = compare(model(FLOAT), model(FLOAT), samples, tensors=True)
    assert nothing.culprits == ()


def test_outputs_are_the_same_with_and_without_tensors(samples):
    with_tensors = compare(model(FLOAT), qdq(), samples, tensors=True)
    assert with_tensors.outputs == compare(model(FLOAT), qdq(), samples).outputs


def test_a_tool_that_renames_the_tensor_of_a_pair(samples):
    """onnxruntime's quantizer gives the name of an output to the pair behind it."""
    text = QDQ.replace("bd", "b_").replace("= Relu (a)", "= Relu (a) ")
    renamed = text.replace(" b = Relu", " b_in = Relu").replace("(b, sb, z)", "(b_in, sb, z)")
    renamed = renamed.replace("b_ =", "b =").replace("(b_, vd)", "(b, vd)")
    plain = compare(model(FLOAT), qdq(), samples, tensors=True)
    other = compare(model(FLOAT), qdq(renamed), samples, tensors=True)
    assert other.unmatched == ()
    assert [t.local for t in other.tensors] == [t.local for t in plain.tensors]
    assert [t.accumulated for t in other.tensors] == [t.accumulated for t in plain.tensors]


def test_names_that_the_float_model_does_not_have(samples):
    other = qdq(QDQ.replace("[first] a", "[first] other").replace("Relu (a)", "Relu (other)"))
    report = compare(model(FLOAT), other, samples, tensors=True)
    assert report.unmatched == ("first",)
    assert list(found(report)) == ["q1", "q2", "second"]


def test_an_op_without_pairs_costs_nothing_alone(samples):
    text = QDQ.replace("(bd, vd)", "(b, v)")
    second = found(compare(model(FLOAT), qdq(text), samples, tensors=True))["second"]
    assert second.local.sqnr_db == np.inf
    assert second.accumulated.sqnr_db < 60


def test_ops_between_a_pair_and_its_op_are_seen_through(samples):
    pool = "[pool] p = MaxPool <kernel_shape = [3,3], pads = [1,1,1,1]> ({}) "
    float_text = FLOAT.replace("[second]", pool.format("b") + "[second]").replace(
        "(b, v)", "(p, v)"
    )
    text = QDQ.replace("[qv]", pool.format("bd") + "[qv]").replace("(bd, vd)", "(p, vd)")
    coarse, fine = (
        found(compare(model(float_text), qdq(text, sb=sb), samples, tensors=True))["second"]
        for sb in (5.0, 0.2)
    )
    assert coarse.local.sqnr_db < fine.local.sqnr_db - 10
    assert coarse.problem == fine.problem == ""


def test_a_model_in_half_precision(samples):
    """A tool may leave fp16 around the pairs; it is compared with the fp32 model all the same."""
    text = """
    small (float[1,3,8,8] x) => (float[1,4,8,8] y)
        <float16[4,3,3,3] w, float16[4,4,3,3] v, float16 s, int8 z = {0}> {
        [c1] xh = Cast <to = 10> (x)
        [first] a = Conv <pads = [1,1,1,1]> (xh, w)
        [active] b = Relu (a)
        [q2] bq = QuantizeLinear (b, s, z)
        [d2] bd = DequantizeLinear (bq, s, z)
        [second] yh = Conv <pads = [1,1,1,1]> (bd, v)
        [c2] y = Cast <to = 1> (yh)
    }
    """
    half = model(text)
    half.opset_import[0].version = 19
    weights = {t.name: numpy_helper.to_array(t) for t in model(FLOAT).graph.initializer}
    weights["s"] = np.array(0.2)
    for tensor in half.graph.initializer:
        if tensor.name in weights:
            array = weights[tensor.name].astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.checker.check_model(half)
    report = compare(model(FLOAT), half, samples, tensors=True)
    tensors = found(report)
    assert report.unmatched == ("second",)
    assert 20 < tensors["q2"].local.sqnr_db < 50
    assert tensors["first"].accumulated.sqnr_db > 50
