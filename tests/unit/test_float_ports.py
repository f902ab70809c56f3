"""bfloat16 at the ports of a model: given as float32, rounded inside."""

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

import onnxq
from onnxq.feeds.samples import input_specs
from onnxq.model.float_ports import with_float_ports
from onnxq.model.graph import Graph
from tests.inserting import computed
from tests.onnx_text import model

MIXED = """g (bfloat16[4,8] x) => (float[4,6] y) <float[8,6] w> {
    c = Cast <to = 1> (x) y = MatMul (c, w) }"""
BOTH = """g (bfloat16[4,8] x, float[4,8] k) => (bfloat16[4,6] y) <float[8,6] w> {
    c = Cast <to = 1> (x) s = Add (c, k) m = MatMul (s, w) y = Cast <to = 16> (m) }"""
X = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)


def test_a_model_without_bfloat16_stays_as_it_is():
    proto = model("g (float[4,8] x) => (float y) { y = Relu (x) }")
    assert with_float_ports(proto) is proto


@pytest.mark.parametrize("text", [MIXED, BOTH], ids=["input", "input and output"])
def test_ports_are_float32_and_values_are_rounded(text):
    proto = model(text, opset=19)
    made = with_float_ports(proto)
    onnx.checker.check_model(made, full_check=True)
    ports = (*made.graph.input, *made.graph.output)
    assert {p.type.tensor_type.elem_type for p in ports} == {TensorProto.FLOAT}
    feed = {"x": X} | ({"k": X} if "float[4,8] k" in text else {})
    rounded = {k: v.astype(ml_dtypes.bfloat16).astype(np.float32) for k, v in feed.items()}
    (y,), (again,) = computed(made, **feed), computed(made, **(feed | {"x": rounded["x"]}))
    np.testing.assert_array_equal(y, again)


def test_arrays_for_a_bfloat16_input_are_float32():
    (spec,) = input_specs(Graph(model(MIXED, opset=19)), {})
    assert spec.dtype == np.float32


@pytest.mark.parametrize(
    "sample",
    [X, X.astype(ml_dtypes.bfloat16), torch.from_numpy(X).to(torch.bfloat16), X.astype(np.float16)],
    ids=["float32", "ml_dtypes", "torch", "float16"],
)
@pytest.mark.parametrize("float_type", ["fp32", "bf16"])
def test_quantize_takes_a_model_with_a_bfloat16_input(sample, float_type):
    done = onnxq.quantize(
        model(MIXED, opset=19), [sample], float_type=float_type, backend="onnxruntime"
    )
    assert done.statistics.tensors["c"].samples == 1
    assert any(n.op_type == "QuantizeLinear" for n in done.proto.graph.node)
