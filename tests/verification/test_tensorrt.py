import sys

import numpy as np
import pytest
from onnx import TensorProto, helper

from onnxq.diagnostics import BackendMissingError, OnnxqError, Severity
from onnxq.model.graph import Graph
from onnxq.model.products import is_product, macs
from onnxq.verification import CompileOptions, Profile, available, builder, compile_report
from onnxq.verification.profiles import fixed
from onnxq.verification.shapes import Shapes

from .models import VARIED, Builder, float_conv, quantized_conv, saved, varied


def compiled(model, folder, **options):
    return compile_report(saved(model, folder), CompileOptions(**options))


def fates(report):
    return {op.node: (op.precision, op.reason) for op in report.ops}


def joined(*, scales, out=None):
    build = Builder()
    branches = [
        build.pair(build.conv("x", 4, 8, name=f"branch_{i}"), s) for i, s in enumerate(scales)
    ]
    data = build.op("Concat", *branches, name="concat", axis=1)
    data = build.pair(data, out) if out else data
    return build.model(build.conv(data, 16, 8, name="last", scale=None))


def with_scale(scale, **options):
    build = Builder()
    return build.model(build.conv(build.pair("x", scale, **options), 4, 8, scale=None))


def test_a_whole_report(tmp_path):
    report = compiled(varied(), tmp_path)
    assert fates(report) == {
        **{node: ("int8", "") for node, fate in VARIED.items() if fate == "int8"},
        "weights_only": (
            "float",
            "activation 'int8_after_concat_out' has no Q/DQ pair "
            "(it comes from Conv 'int8_after_concat')",
        ),
        "deconv": ("float", "TensorRT-RTX keeps ConvTranspose in float"),
        "axis_0": ("float", "the scale of weight 'const_51' has axis 0; it must be 1"),
    }
    counted = {op: (count.int8, count.total) for op, count in report.counts.items()}
    assert counted == {"Conv": (3, 4), "ConvTranspose": (0, 1), "MatMul": (2, 3)}
    assert (report.int8, report.backend) == (5, "tensorrt-rtx")
    int8 = 2 * 8 * 64 * 36 + 16 * 16 * 144 + 16 * 32 * 64 + 16 * 16 * 32
    in_float = 16 * 16 * 144 + 16 * 16 * 32 + 16 * 64 * 32
    assert sum(op.macs for op in report.ops) == int8 + in_float
    assert report.int8_macs == pytest.approx(int8 / (int8 + in_float))
    assert report.macs == {
        "int8": pytest.approx(int8 / (int8 + in_float)),
        "fp32": pytest.approx(in_float / (int8 + in_float)),
    }
    assert {op.dtype for op in report.ops} == {"int8", "fp32"}
    assert all(len(op.layers) == 1 for op in report.ops)
    assert report.ops[0].layers[0].startswith("int8_left_myl")
    assert report.engine_bytes > 10_000
    assert report.version == available()


def test_a_float_model_and_one_without_products(tmp_path):
    report = compiled(float_conv(), tmp_path)
    assert fates(report) == {"conv": ("float", "activation 'x' has no Q/DQ pair")}
    assert report.int8_macs == 0
    build = Builder()
    report = compiled(build.model(build.op("Relu", "x")), tmp_path)
    assert (report.ops, report.counts, report.int8_macs) == ((), {}, None)


@pytest.mark.parametrize(
    ("make", "precision", "reason"),
    [
        (lambda: joined(scales=(0.05, 0.05)), "int8", ""),
        (lambda: joined(scales=(0.05, 0.06), out=0.05), "int8", ""),
        (
            lambda: joined(scales=(0.05, 0.06)),
            "float",
            "activation 'concat_out' joins tensors of unequal scales and has no pair of its own",
        ),
        (lambda: with_scale([0.05]), "float", "activation 'x' has a scale of shape [1]"),
        (
            lambda: with_scale(np.full(4, 0.05), axis=1),
            "float",
            "activation 'x' is quantized per channel",
        ),
    ],
)
def test_reasons(make, precision, reason, tmp_path):
    report = compiled(make(), tmp_path)
    assert (report.ops[-1].precision, report.ops[-1].reason) == (precision, reason)


def test_a_pair_in_front_of_a_sigmoid_and_one_without_weights(tmp_path):
    build = Builder()
    data = build.op("Sigmoid", build.pair("x"), name="gate")
    first = build.conv(data, 4, 8, name="behind_gate", scale=None)
    report = compiled(build.model(build.conv(first, 8, 8, name="bare", weights=False)), tmp_path)
    assert fates(report) == {
        "behind_gate": (
            "float",
            "activation 'gate_out' has a pair only in front of Sigmoid 'gate'",
        ),
        "bare": ("float", "weight 'const_10' has no Q/DQ pair"),
    }


def test_what_the_compiler_alone_decides(tmp_path):
    report = compiled(quantized_conv(), tmp_path, targets=((7, 5),))
    assert fates(report) == {"conv": ("float", "the compiler chose float")}
    assert report.targets == ((7, 5),)
    assert compiled(quantized_conv(), tmp_path, targets=((8, 9),)).int8 == 1


def test_dynamic_shapes(tmp_path):
    model = quantized_conv(shape=("n", 4, "h", "w"))
    with pytest.raises(OnnxqError, match=r"input 'x' has no fixed shape \(nx4xhxw\)") as caught:
        compiled(model, tmp_path)
    assert caught.value.diagnostics[0].code == "OQ405"
    report = compiled(model, tmp_path, profiles={"x": fixed((2, 4, 10, 12))})
    assert report.int8 == 1
    assert report.ops[0].macs == 2 * 8 * 10 * 12 * 36
    assert report.notes == ()


def test_a_range_of_shapes_reaches_the_engine(tmp_path):
    model = quantized_conv(shape=("n", 4, "h", "w"))
    profile = Profile((1, 4, 8, 8), (2, 4, 10, 12), (3, 4, 20, 20))
    report = compiled(model, tmp_path, profiles={"x": profile})
    assert report.int8 == 1
    assert report.ops[0].macs == 2 * 8 * 10 * 12 * 36
    one = compiled(model, tmp_path, profiles={"x": fixed((2, 4, 10, 12))})
    assert one.engine_bytes != report.engine_bytes


@pytest.mark.parametrize("shape", [(1, 4, 8), (1, 3, 8, 8)])
def test_a_shape_that_the_input_cannot_have(shape, tmp_path):
    with pytest.raises(OnnxqError, match="nx4xhxw") as caught:
        compiled(quantized_conv(shape=("n", 4, "h", "w")), tmp_path, profiles={"x": fixed(shape)})
    assert caught.value.diagnostics[0].code == "OQ405"


def test_dimensions_of_one_name_and_of_different_sizes(tmp_path):
    model = quantized_conv(shape=("n", 4, "?", "?"))
    report = compiled(model, tmp_path, profiles={"x": fixed((1, 4, 8, 16))})
    (note,) = report.notes
    assert (note.code, note.severity) == ("OQ665", Severity.ERROR)
    assert "dimension 2 of 'x' and dimension 3 of 'x' share the name '?'" in note.message
    assert (report.int8, report.ops[0].macs) == (1, 8 * 8 * 16 * 36)
    assert not compiled(model, tmp_path, profiles={"x": fixed((1, 4, 8, 8))}).notes


def test_such_dimensions_are_what_the_compiler_rejects(tmp_path):
    path = saved(quantized_conv(shape=("n", 4, "?", "?")), tmp_path)
    job = {"model": str(path), "profiles": {"x": fixed((1, 4, 8, 16))}, "targets": ()}
    with pytest.raises(OnnxqError, match=r"\?: Input dimensions with this name") as caught:
        builder.build(job, 100)
    assert caught.value.diagnostics[0].code == "OQ602"


def test_nodes_without_names_are_told_apart(tmp_path):
    model = joined(scales=(0.05, 0.05))
    for node in model.graph.node:
        node.name = "same" if node.op_type == "Conv" else ""
    report = compiled(model, tmp_path)
    assert len(fates(report)) == report.int8 == 3


def test_paths_may_be_relative(tmp_path, monkeypatch):
    saved(quantized_conv(), tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "onnx.py").write_text("raise SystemExit('the working folder was imported')")
    assert compile_report("model.onnx").int8 == 1


def failure(model, folder, code="OQ602"):
    with pytest.raises(OnnxqError) as caught:
        compiled(model, folder)
    (found,) = caught.value.diagnostics
    assert found.code == code
    return found.message


def test_a_rejected_model_is_told_with_the_node(tmp_path):
    said = failure(with_scale(0.05, zero=np.int8(3)), tmp_path)
    assert said.startswith("TensorRT-RTX rejected the model: In node ")
    assert "Non-zero zero point is not supported" in said
    assert "cuda" not in said.lower()


def test_a_builder_error_is_told(tmp_path):
    build = Builder()
    weight = build.op("Cast", build.constant(np.ones((4, 4), np.int8)), to=TensorProto.FLOAT)
    model = build.model(build.op("MatMul", "x", weight), shape=(4, 4))
    assert "only allowed before DQ" in failure(model, tmp_path)


def test_nothing_is_printed(tmp_path, capfd):
    compiled(quantized_conv(), tmp_path)
    failure(with_scale(0.05, zero=np.int8(3)), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_without_the_backend(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    assert available() is None
    with pytest.raises(BackendMissingError, match=r"pip install 'onnxq\[rtx\]'") as caught:
        compiled(quantized_conv(), tmp_path)
    assert caught.value.exit_code == 3


def count(op, inputs, **attributes):
    """MACs of one op on inputs of the given shapes."""
    model = one_op(op, inputs, **attributes)
    return macs(Shapes(model, Graph(model), {}).sizes, Graph(model).by_name["node"])


def one_op(op, inputs, **attributes):
    names = [f"in{i}" for i in range(len(inputs))]
    node = helper.make_node(op, names, ["out"], name="node", **attributes)
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
        for n, s in zip(names, inputs, strict=True)
    ]
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    return helper.make_model(helper.make_graph([node], "test", values, [out]))


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "expected"),
    [
        ("Conv", [(2, 4, 8, 8), (6, 4, 3, 3)], {}, 2 * 6 * 36 * 36),
        ("Conv", [(1, 4, 8, 8), (4, 1, 3, 3)], {"group": 4, "strides": [2, 2]}, 4 * 9 * 9),
        ("Conv", [(1, 4, 9), (6, 4, 3)], {}, 6 * 7 * 12),
        ("ConvTranspose", [(1, 4, 5, 5), (4, 3, 2, 2)], {"strides": [2, 2]}, 25 * 4 * 3 * 4),
        ("Gemm", [(5, 3), (3, 7)], {}, 105),
        ("Gemm", [(3, 5), (7, 3)], {"transA": 1, "transB": 1}, 105),
        ("MatMul", [(2, 5, 3), (3, 7)], {}, 210),
        ("MatMul", [(2, 1, 5, 3), (4, 3, 7)], {}, 840),
        ("MatMul", [(3,), (3,)], {}, 3),
        ("MatMul", [("n", 3), (3, 7)], {}, None),
        ("Conv", [(1, 4, "h", 8), (6, 4, 3, 3)], {}, None),
        ("Einsum", [(2, 3, 5), (5, 7)], {"equation": "abk, kn -> abn"}, 210),
        ("Einsum", [(2, 1, 5), (2, 4, 5)], {"equation": "aik,ajk->aij"}, 40),
        ("Einsum", [(2, 3, 5), (5, 7)], {"equation": "...k,kn->...n"}, 210),
        ("Einsum", [(2, 3, 5), (5, 7)], {"equation": "abk,kn"}, 210),
        ("Einsum", [(3, 5), (5, 7), (7, 2)], {"equation": "ij,jk,kl->il"}, 105 + 42),
        ("Einsum", [(3, 5), (5, 7)], {"equation": "aij,jk->aik"}, None),
        ("LSTM", [(9, 2, 5), (1, 12, 5), (1, 12, 3)], {"hidden_size": 3}, 18 * 12 * 8),
        ("GRU", [(2, 9, 5), (2, 9, 5), (2, 9, 3)], {"hidden_size": 3, "layout": 1}, 18 * 18 * 8),
        ("RNN", [(9, 2, 5), (1, 3, 5), (1, 3, 3)], {"hidden_size": 3}, 18 * 3 * 8),
        ("RNN", [("t", 2, 5), (1, 3, 5), (1, 3, 3)], {"hidden_size": 3}, None),
        ("DeformConv", [(1, 4, 6, 6), (8, 4, 3, 3), (1, 18, 4, 4)], {}, 8 * 16 * 36),
        ("QLinearMatMul", [(2, 5), (), (), (5, 7), (), (), (), ()], {}, 70),
        ("Relu", [(4,)], {}, None),
    ],
)
def test_multiply_accumulates(op, inputs, attributes, expected):
    assert count(op, inputs, **attributes) == expected


@pytest.mark.parametrize(
    ("equation", "expected"),
    [("ij,jk->ik", True), ("ij,kj->ik", True), ("ij,jk->ijk", False), ("ij,ij->ij", False)],
)
def test_an_einsum_is_a_product_when_it_sums_over_what_both_have(equation, expected):
    model = one_op("Einsum", [(2, 2), (2, 2)], equation=equation)
    graph = Graph(model)
    assert is_product(graph, graph.by_name["node"]) is expected


def test_an_einsum_in_the_report(tmp_path):
    build = Builder()
    data = build.pair("x")
    whole = build.op("Einsum", data, build.per_channel(8, 16, axis=1), equation="abck,kn->abcn")
    half = build.op("Einsum", data, build.weight(8, 16), equation="abck,kn->abcn", name="half")
    report = compiled(build.model(whole, half), tmp_path)
    first, second = report.ops
    assert (first.precision, first.reason, first.macs) == ("int8", "", 4 * 8 * 8 * 16)
    assert second.precision == "float"
    assert second.reason.startswith("weight ")
    assert second.reason.endswith("has no Q/DQ pair")


def test_shapes_that_inference_does_not_know(tmp_path):
    build = Builder()
    # onnx infers nothing behind a Reshape to what is computed from values.
    halves = [build.constant(np.float32(v)) for v in ([1, 2, 16, 16], [1, 2, 1, 0.25])]
    sizes = build.op("Cast", build.op("Mul", *halves), to=TensorProto.INT64)
    data = build.op("Reshape", "x", sizes, name="computed")
    report = compiled(build.model(build.conv(data, 4, 8)), tmp_path)
    assert not any(isinstance(d, int) for d in Graph(build.model(data)).type(data).shape)
    assert report.ops[0].macs == 8 * 16 * 4 * 36


def test_shapes_of_fixed_and_unknown_inputs_do_not_matter(tmp_path):
    profiles = {"x": fixed((7, 7)), "elsewhere": fixed((1,))}
    report = compiled(quantized_conv(), tmp_path, profiles=profiles)
    assert report.ops[0].macs == 8 * 64 * 36


def test_types_of_float_are_told_apart(tmp_path):
    for dtype, told in ((TensorProto.FLOAT16, "fp16"), (TensorProto.BFLOAT16, "bf16")):
        build = Builder()
        half = build.op("Cast", "x", to=dtype)
        weight = build.op("Cast", build.weight(8, 8), to=dtype)
        product = build.op("MatMul", half, weight, name="product")
        model = build.model(build.op("Cast", product, to=TensorProto.FLOAT), opset=19)
        (op,) = compiled(model, tmp_path).ops
        assert (op.precision, op.dtype) == ("float", told)
        assert compiled(model, tmp_path).macs == {told: 1.0}


def test_fp8(tmp_path):
    build = Builder()
    zero = helper.make_tensor("zero", TensorProto.FLOAT8E4M3FN, [], b"\0", raw=True)
    build.constants.append(zero)
    data, weight = (build.pair(t, zero="zero") for t in ("x", build.weight(8, 8)))
    model = build.model(build.op("MatMul", data, weight, name="product"), opset=19)
    report = compiled(model, tmp_path, targets=((8, 9),))
    assert [(op.precision, op.dtype, op.reason) for op in report.ops] == [
        ("fp8", "fp8", "it is quantized to fp8")
    ]
    assert (report.macs, report.int8_macs) == ({"fp8": 1.0}, 0.0)
