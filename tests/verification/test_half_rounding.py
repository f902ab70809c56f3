"""verify computes float16 models in float16, as onnx.reference does."""

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from onnxq.feeds.samples import Sample
from onnxq.insertion.half import lower
from onnxq.insertion.precision import HALF
from onnxq.model.preparing import name_nodes
from onnxq.verification.numeric import compare
from onnxq.verification.numeric.half_rounding import with_rounding
from onnxq.verification.numeric.runners import infer, runner
from tests.inserting import computed
from tests.onnx_text import model

X = np.random.default_rng(1).normal(size=(4, 16)).astype(np.float32)
# Ops that round once, so that float32 kernels between Casts give the bits of float16 ones.
CHAINS = {
    "overflow": "a = Mul(x, up) b = Relu(a) c = Mul(b, down) y = Add(c, x)",
    "overflow that nothing undoes": "a = Mul(x, up) b = Mul(a, a) y = Add(b, x)",
    "rounding": "a = Mul(x, third) b = Add(a, one) c = Sub(b, one) y = Div(c, third)",
    "underflow": "a = Mul(x, down) b = Mul(a, down) c = Mul(b, up) y = Mul(c, up)",
    "movement": "a = Transpose(x) b = Mul(a, third) c = Transpose(b) d = Concat<axis = 1>(c, x) "
    "e, f = Split<axis = 1, num_outputs = 2>(d) y = Add(e, f)",
    "a branch": "p = Constant<value = bool {1}>() a = Mul(x, up) "
    "b = If<then_branch = t () => (float16[4,16] u) { q = Mul(a, a) u = Mul(q, down) }, "
    "else_branch = e () => (float16[4,16] v) { v = Relu(a) }>(p) y = Mul(b, down)",
}
CONSTANTS = "float16[1] up, float16[1] down, float16[1] third, float16[1] one"
VALUES = {"up": 3e4, "down": 1e-4, "third": 1 / 3, "one": 1}


def in_float16(body):
    text = (
        '<ir_version: 9, opset_import: ["" : 19]> '
        f"g (float16[4,16] x) => (float16[4,16] y) <{CONSTANTS}> {{ {body} }}"
    )
    proto = model(text)
    for tensor in proto.graph.initializer:
        value = np.float16([VALUES[tensor.name]])
        tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
    proto = name_nodes(proto)
    onnx.checker.check_model(proto, full_check=True)
    return proto


@pytest.mark.parametrize("name", CHAINS)
def test_it_computes_the_bits_of_the_reference(name):
    proto, x = in_float16(CHAINS[name]), X.astype(np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    rounded = with_rounding(proto)
    onnx.checker.check_model(rounded, full_check=True)
    with runner(proto, "the model") as opened:
        found = infer(opened, {"x": x})["y"]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(computed(rounded, x=x)[0], expected)


@pytest.mark.parametrize("name", ["overflow", "rounding", "underflow"])
def test_onnxruntime_alone_does_not(name):
    """Once this fails, `with_rounding` is needed no more."""
    proto, x = in_float16(CHAINS[name]), X.astype(np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    assert not np.array_equal(computed(proto, x=x)[0], expected, equal_nan=True)


def test_a_model_without_float16_is_left_alone():
    proto = name_nodes(model("g (float[2,4] x) => (float[2,4] y) { y = Relu(x) }"))
    assert with_rounding(proto) is proto


def test_ports_and_names_stay():
    proto = in_float16("a = Mul(x, third) a_rounded = Relu(a) y = Mul(a_rounded, third)")
    before = proto.SerializeToString()
    rounded = with_rounding(proto)
    assert proto.SerializeToString() == before
    assert (rounded.graph.input, rounded.graph.output) == (proto.graph.input, proto.graph.output)
    assert {n.name for n in proto.graph.node} < {n.name for n in rounded.graph.node}


def products():
    """MatMul, Mul, Relu, Mul, MatMul: the values between the Muls do not fit into FP16."""
    text = (
        "g (float[4,16] x) => (float[4,8] y) <float[16,16] w, float[16,8] v, float[1] up = {30000},"
        " float[1] down = {0.0001}> { [one] a = MatMul(x, w) [two] b = Mul(a, up) "
        "[three] c = Relu(b) [four] d = Mul(c, down) [five] y = MatMul(d, v) }"
    )
    return name_nodes(model(text))


def test_verify_tells_an_overflow():
    proto, samples = products(), [Sample(name="x", tensors={"x": X}, digest="0" * 64)]
    overflowing, _ = lower(proto, HALF["fp16"], kept={})
    (output,) = compare(proto, overflowing, samples).outputs
    assert output.sqnr_db is None
    assert "NaN or infinite values" in output.problem
    fitting, _ = lower(proto, HALF["fp16"], kept=dict.fromkeys(("two", "three", "four"), "test"))
    (output,) = compare(proto, fitting, samples).outputs
    assert 55 < output.sqnr_db < 75
