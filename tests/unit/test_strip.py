"""Stripping models of other tools, and kinds of pairs that onnxq does not write."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxq.diagnostics import OnnxqError
from onnxq.model.strip import strip
from tests.inserting import computed
from tests.onnx_text import model

X = np.random.default_rng(3).normal(size=(1, 3, 6, 6)).astype(np.float32)
S = "float s = {0.05}, int8 z = {0}"
U = "float s = {0.05}, uint8 z = {0}"


def kinds(proto):
    return [n.op_type for n in proto.graph.node]


def checked(stripped):
    onnx.checker.check_model(stripped.model, full_check=True)
    return stripped.model


def stored(dtype, scale_dtype, shape, scale_shape, axis, opset, zero=None):
    """A model that only dequantizes a constant."""
    rng = np.random.default_rng(1)
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(dtype))
    info = np.iinfo(kind) if kind.kind in "iu" else None
    least, most = (info.min, info.max) if info else (-8, 7)
    values = rng.integers(least, most, shape, endpoint=True).astype(kind)
    scale = rng.uniform(1e-4, 3, scale_shape).astype(helper.tensor_dtype_to_np_dtype(scale_dtype))
    constants = [numpy_helper.from_array(values, "w"), numpy_helper.from_array(scale, "s")]
    inputs = ["w", "s"]
    if zero is not None:
        constants.append(numpy_helper.from_array(np.full(scale_shape, zero, kind), "z"))
        inputs.append("z")
    nodes = [
        helper.make_node("DequantizeLinear", inputs, ["d"], axis=axis),
        helper.make_node("Add", ["d", "x"], ["y"]),
    ]
    value = [helper.make_tensor_value_info(n, scale_dtype, shape) for n in "xy"]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


@pytest.mark.parametrize(
    ("dtype", "scale_dtype", "scale_shape", "axis", "opset", "zero"),
    [
        (TensorProto.INT8, TensorProto.FLOAT, (4,), 0, 13, 0),
        (TensorProto.INT8, TensorProto.FLOAT, (5,), -1, 17, -7),
        (TensorProto.UINT8, TensorProto.FLOAT, (), 1, 17, 131),
        (TensorProto.UINT8, TensorProto.FLOAT, (), 1, 17, None),
        (TensorProto.INT32, TensorProto.FLOAT, (4,), 0, 17, 0),
        (TensorProto.INT32, TensorProto.FLOAT, (), 0, 17, None),
        (TensorProto.INT8, TensorProto.FLOAT16, (4,), 0, 19, 0),
        (TensorProto.INT16, TensorProto.FLOAT, (4,), 0, 21, 0),
    ],
)
def test_a_stored_constant_becomes_what_onnxruntime_dequantizes(
    dtype, scale_dtype, scale_shape, axis, opset, zero
):
    before = stored(dtype, scale_dtype, (4, 5), scale_shape, axis, opset, zero)
    back = strip(before)
    assert (back.activations, back.weights) == (0, 1)
    assert kinds(checked(back)) == ["Add"]
    assert {t.name for t in back.model.graph.initializer} == {"w_dequantized"}
    x = np.zeros((4, 5), helper.tensor_dtype_to_np_dtype(scale_dtype))
    np.testing.assert_array_equal(computed(back.model, x=x), computed(before, x=x))


def test_a_stored_weight_has_its_old_name_where_that_is_free():
    text = f"g (float[1,3,6,6] x) => (float[1,4,6,6] y) <int8[4,3,1,1] w_quantized, {S}>"
    back = strip(model(text + "{ d = DequantizeLinear (w_quantized, s, z) y = Conv (x, d) }"))
    assert [t.name for t in checked(back).graph.initializer] == ["w"]
    assert list(back.model.graph.node[0].input) == ["x", "w"]


@pytest.mark.parametrize(
    "between",
    [
        "Transpose <perm = [0,1,3,2]> (q)",
        "MaxPool <kernel_shape = [2,2]> (q)",
        "Gather <axis = 3> (q, i)",
        "Tile (q, n)",
        "SpaceToDepth <blocksize = 2> (q)",
    ],
)
def test_what_moves_integers_moves_floats_then(between):
    constants = f"{S}, int64[2] i = {{0,3}}, int64[4] n = {{1,1,2,1}}"
    text = f"g (float[1,3,6,6] x) => (float y) <{constants}>"
    pair = (
        f"{{ q = QuantizeLinear (x, s, z) t = {between} "
        "d = DequantizeLinear (t, s, z) y = Relu (d) }"
    )
    plain = f"{{ t = {between.replace('(q', '(x')} y = Relu (t) }}"
    before = model(text + pair)
    before = onnx.shape_inference.infer_shapes(before)
    back = checked(strip(before))
    np.testing.assert_array_equal(computed(back, x=X), computed(model(text + plain), x=X))


def test_a_pair_at_an_output_leaves_the_outputs_name():
    text = f"g (float[1,3,6,6] x) => (float[1,3,6,6] y) <{S}>"
    pair = "{ r = Relu (x) q = QuantizeLinear (r, s, z) y = DequantizeLinear (q, s, z) }"
    back = checked(strip(model(text + pair)))
    assert kinds(back) == ["Relu", "Identity"]
    np.testing.assert_array_equal(computed(back, x=X)[0], np.maximum(X, 0))


@pytest.mark.parametrize(
    ("body", "relus"),
    [
        ("c = Add (x, x) q = QuantizeLinear (c, s, z)", 1),
        ("c = Relu (x) q = QuantizeLinear (c, s, z)", 0),
        ("r = Relu (x) c = MaxPool <kernel_shape = [1,1]> (r) q = QuantizeLinear (c, s, z)", 0),
        ("q = QuantizeLinear (x, s, z)", 0),
        ("c = Add (x, x) q = QuantizeLinear (c, s)", 1),
    ],
)
def test_a_quantize_that_cuts_at_zero_leaves_a_relu(body, relus):
    point = ", z" if "z)" in body else ""
    text = f"g (float[1,3,6,6] x) => (float[1,3,6,6] y) <{U}>"
    before = model(f"{text} {{ {body} d = DequantizeLinear (q, s{point}) y = Neg (d) }}")
    back = strip(before)
    assert kinds(checked(back)).count("Relu") - kinds(before).count("Relu") == relus
    assert [d.code for d in back.diagnostics] == ["OQ533"] * relus
    if relus:
        np.testing.assert_array_equal(computed(back.model, x=X)[0], -np.maximum(X + X, 0))


def test_halves_of_pairs_stay():
    text = f"""g (uint8[1,3,6,6] x) => (uint8[1,3,6,6] y) <{U}>
    {{ d = DequantizeLinear (x, s, z) r = Relu (d) y = QuantizeLinear (r, s, z) }}"""
    before = model(text)
    back = strip(before)
    assert back.model == before
    assert [d.code for d in back.diagnostics] == ["OQ532"]
    assert "2 Q/DQ nodes" in back.diagnostics[0].message


def test_a_result_that_a_subgraph_reads_keeps_its_name():
    text = f"""
    g (float[1,3,6,6] x, bool c) => (float y) <{S}> {{
        q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z) r = Relu (d)
        y = If (c) <then_branch = t () => (float u) {{ u = Neg (d) }},
                    else_branch = e () => (float v) {{ v = Add (d, r) }}>
    }}"""
    before = model(text)
    back = strip(before)
    assert not back.diagnostics
    found = computed(back.model, x=X, c=np.array(True))[0]
    np.testing.assert_array_equal(found, -X)


def test_onnxruntimes_pairs_of_its_own_domain():
    text = """<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
    g (float[1,3,6,6] x) => (float[1,4,6,6] y)
    <int16[4,3,1,1] w, float s = {0.001}, int16 z = {0}> {
        d = com.microsoft.DequantizeLinear (w, s, z) y = Conv (x, d)
    }"""
    before = model(text)
    back = strip(before)
    assert kinds(back.model) == ["Conv"]
    np.testing.assert_array_equal(computed(back.model, x=X), computed(before, x=X))


def test_the_model_given_is_not_changed():
    text = f"g (float[1,3,6,6] x) => (float[1,3,6,6] y) <{S}>"
    before = model(
        text + "{ q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z) y = Relu (d) }"
    )
    bytes_before = before.SerializeToString()
    strip(before)
    assert before.SerializeToString() == bytes_before


@pytest.mark.parametrize("symmetric", [True, False])
def test_what_onnxruntime_quantized(tmp_path, symmetric):
    """Its static quantization: int32 biases, uint8 with zero points, Relus left out."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    text = """g (float[1,3,6,6] x) => (float[1,2,6,6] y)
    <float[4,3,3,3] w, float[4] b, float[2,4,1,1] v, float[2] c> {
        [one] a = Conv <pads = [1,1,1,1]> (x, w, b) [act] r = Relu (a) [two] y = Conv (r, v, c)
    }"""
    before = model(text, opset=21)
    onnx.save(before, tmp_path / "f.onnx")

    class Reader(CalibrationDataReader):
        samples = iter([{"x": X}, {"x": -X}])

        def get_next(self):
            return next(self.samples, None)

    quantize_static(
        tmp_path / "f.onnx", tmp_path / "q.onnx", Reader(),
        activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        extra_options={"ActivationSymmetric": symmetric}, per_channel=True,
    )  # fmt: skip
    quantized = onnx.load(tmp_path / "q.onnx")
    assert ("Relu" in kinds(quantized)) == symmetric
    back = strip(quantized)
    assert checked(back)
    assert [k for k in kinds(back.model) if k != "Identity"] == ["Conv", "Relu", "Conv"]
    expected, found = computed(before, x=X)[0], computed(back.model, x=X)[0]
    noise = np.square(found - expected).mean() / np.square(expected).mean()
    assert 0 < noise < 1e-3  # weights are rounded, activations are not


@pytest.mark.parametrize(
    ("shape", "scale_shape", "axis", "options"),
    [
        ((6, 8), (6, 1), 1, {}),
        ((6, 8), (5,), 1, {}),
        ((64, 32), (64,), 1, {}),
        ((64, 32), (2, 32), 1, {"block_size": 32}),
        ((64, 32), (3, 32), 0, {"block_size": 32}),
    ],
)
def test_scales_that_do_not_fit_are_refused_with_the_shapes(shape, scale_shape, axis, options):
    made = stored(TensorProto.INT4, TensorProto.FLOAT, shape, scale_shape, axis, 21)
    made.graph.node[0].attribute.extend(helper.make_attribute(k, v) for k, v in options.items())
    with pytest.raises(OnnxqError, match=r"OQ309.*DequantizeLinear") as refused:
        strip(made)
    assert f"'w' {list(shape)}, 's' {list(scale_shape)}" in str(refused.value)
