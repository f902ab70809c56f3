"""Q/DQ models with FP8 and INT4: what is written, what runs, and what strip gives back."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from onnxq.insertion.insert import insert
from onnxq.insertion.scales import compute_scales
from onnxq.linting import lint
from onnxq.model.graph import Graph
from onnxq.model.preparing import name_nodes, opset
from onnxq.model.strip import strip
from onnxq.planning import cascade
from onnxq.quantization import dequantize, quantize, scale_of
from tests.inserting import computed, ranged
from tests.onnx_text import model
from tests.planning import recipe_of, rule

HEAD = """\
schema: 1
descriptors:
  act: {dtype: fp8e4m3}
  weight: {dtype: fp8e4m3, granularity: per_channel}
  int8: {method: max}
  int8w: {granularity: per_channel, method: max}
  int4: {dtype: int4, granularity: per_block, block_size: 32}
rules:
"""
FP8 = rule("{op: [Conv, MatMul, Gemm]}", id="fp8", quantize="{inputs: act, weights: weight}")
INT4 = rule("{op: [MatMul, Gemm]}", id="int4", quantize="{weights: int4}", skip="inputs")
CONV = "m (float[1,4,8,8] x) => (float[1,6,8,8] y) <float[6,4,1,1] w> { [conv] y = Conv (x, w) }"
PRODUCTS = """
    m (float[2,64] x) => (float[2,6] y) <float[64,96] u, float[6,96] v> {
        [first] a = MatMul (x, u)
        [second] y = Gemm <transB = 1> (a, v)
    }
"""


def quantized(folder, proto, *rules, amax=4.0, **options):

    graph = Graph(name_nodes(proto), digest="d")
    plan = cascade.plan(graph, recipe_of(folder, *rules, head=HEAD))
    return insert(proto, plan, compute_scales(graph, plan, ranged(plan, amax)), **options)


def initializer(proto, name):
    return next(t for t in proto.graph.initializer if t.name == name)


def test_an_fp8_conv_computes_what_its_pairs_say(tmp_path):
    proto = model(CONV)
    qdq = quantized(tmp_path, proto, FP8)
    onnx.checker.check_model(qdq, full_check=True)
    assert (opset(qdq), qdq.ir_version) == (19, 9)
    assert initializer(qdq, "w_quantized").data_type == TensorProto.FLOAT8E4M3FN
    assert [f.code for f in lint(qdq)] == []
    w, x = numpy_helper.to_array(proto.graph.initializer[0]), np.float32(np.linspace(-5, 5, 256))
    step, scale = scale_of(4.0, "fp8e4m3"), scale_of(np.abs(w).max(axis=(1, 2, 3)), "fp8e4m3")
    x = x.reshape(1, 4, 8, 8)
    rounded = dequantize(quantize(x, step, dtype="fp8e4m3"), step)
    weight = dequantize(quantize(w, scale, axis=0, dtype="fp8e4m3"), scale, axis=0)
    plain = model(CONV)
    plain.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    np.testing.assert_array_equal(computed(qdq, x=x)[0], computed(plain, x=rounded)[0])


def test_int4_weights_compute_what_their_blocks_say(tmp_path):
    proto = model(PRODUCTS)
    qdq = quantized(tmp_path, proto, INT4)
    onnx.checker.check_model(qdq, full_check=True)
    assert (opset(qdq), qdq.ir_version) == (21, 10)
    stored = initializer(qdq, "u_quantized")
    assert (stored.data_type, len(stored.raw_data)) == (TensorProto.INT4, 64 * 96 // 2)
    assert list(initializer(qdq, "u_scale").dims) == [2, 96]
    assert list(initializer(qdq, "v_scale").dims) == [6, 3]
    assert [f.code for f in lint(qdq)] == ["OQ636", "OQ636"]
    assert not any(n.op_type == "QuantizeLinear" for n in qdq.graph.node)
    x = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)
    plain = strip(qdq).model
    np.testing.assert_array_equal(computed(qdq, x=x)[0], computed(plain, x=x)[0])
    for before, after, axis in (("u", "u", 0), ("v", "v", 1)):
        w, got = (
            numpy_helper.to_array(initializer(m, n)) for m, n in ((proto, before), (plain, after))
        )
        blocks = np.abs(np.moveaxis(w, axis, 0)).reshape(-1, 32, w.shape[1 - axis]).max(axis=1)
        scale = np.moveaxis(scale_of(blocks, "int4"), 0, axis)
        q = quantize(w, scale, axis=axis, dtype="int4", block_size=32)
        np.testing.assert_array_equal(got, dequantize(q, scale, axis=axis, block_size=32))


@pytest.mark.parametrize(("text", "rule_"), [(CONV, FP8), (PRODUCTS, FP8), (PRODUCTS, INT4)])
def test_float_weights_stay_behind_whole_pairs(tmp_path, text, rule_):
    proto = model(text)
    stored, kept = (quantized(tmp_path, proto, rule_, weights=w) for w in ("int8", "qdq"))
    shape = [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(computed(stored, x=x)[0], computed(kept, x=x)[0])
    before = strip(kept).model
    np.testing.assert_array_equal(computed(proto, x=x)[0], computed(before, x=x)[0])


def test_int8_and_fp8_ops_in_one_model(tmp_path):
    int8 = rule("{name: first}", id="int8", quantize="{inputs: int8, weights: int8w}")
    qdq = quantized(tmp_path, model(PRODUCTS), FP8, int8)
    types = {t.name: t.data_type for t in qdq.graph.initializer}
    assert types["u_quantized"] == types["x_zero_point"] == TensorProto.INT8
    assert types["v_quantized"] == types["a_zero_point"] == TensorProto.FLOAT8E4M3FN
    assert [f.code for f in lint(qdq)] == []


def test_a_newer_opset_stays(tmp_path):
    assert opset(quantized(tmp_path, model(CONV, opset=20), FP8)) == 20


def test_pairs_of_another_type_are_not_shared(tmp_path):
    text = CONV.replace("{ [conv]", "{ [other] z = Conv (x, w) [conv]").replace(
        "y)", "y, float[1,6,8,8] z)", 1
    )
    int8 = rule("{name: other}", id="r", quantize="{inputs: int8, weights: int8w}")
    first = quantized(tmp_path, model(text), int8)
    graph = Graph(name_nodes(first), digest="d")

    fp8 = rule("{name: conv}", id="r", quantize="{inputs: act, weights: weight}")
    plan = cascade.plan(graph, recipe_of(tmp_path, fp8, head=HEAD))
    assert [p.existing for p in plan.pairs if p.kind == "activation"] == [None]
    again = recipe_of(
        tmp_path, rule("{name: conv}", id="r", quantize="{inputs: int8, weights: int8w}"), head=HEAD
    )
    (pair,) = (p for p in cascade.plan(graph, again).pairs if p.kind == "activation")
    assert pair.existing == "x_dequantized"
