"""Products that the compiler puts into generated kernels, or computes once for several nodes."""

import onnx
import pytest

from onnxq.linting import lint
from onnxq.verification.tensorrt import compile_report

from .engine import compiled
from .table import net

NAME = "trt-int8"


def gate(wide, narrow):
    """Squeeze-and-excitation: 1x1 Convs behind a global pool."""
    return net(
        "c = conv(x, w) p = GlobalAveragePool(c) e = Conv(p, w1) r = Relu(e) f = Conv(r, w2) "
        "h = Sigmoid(f) m = Mul(c, h) y = conv(m, w3)",
        x=f"1,{wide},16,16",
        w=f"{wide},{wide},3,3",
        w1=f"{narrow},{wide},1,1",
        w2=f"{wide},{narrow},1,1",
        w3=f"{wide},{wide},3,3",
    )


@pytest.mark.parametrize(("wide", "narrow"), [(8, 2), (16, 4), (32, 8), (30, 7)])
def test_gates(wide, narrow):
    made = compiled(gate(wide, narrow), NAME)
    assert set(made.products.values()) == {"int8"}


def test_a_vector_with_a_scale_for_each_value_is_float():
    recipe = """schema: 1
rules:
- id: r
  why: test
  match: {op: MatMul}
  quantize: {inputs: {method: max}, weights: {granularity: per_channel, axis: 0, method: max}}
"""
    made = compiled(net("y = MatMul(x, w)", x="2,16,64", w="64"), recipe)
    assert made.of("y") == "float"
    assert [f.code for f in lint(made.qdq)] == ["OQ613"]


TWICE = {
    "Convs": net("y = conv(x, w) z = conv(x, w)", out="y z"),
    "chains": net(
        "a = conv(x, w) b = conv(x, w) r = Relu(a) s = Relu(b) y = conv(r, w1) z = conv(s, w1)",
        out="y z",
    ),
    "Gemms": net("y = Gemm(x, w) z = Gemm(x, w)", x="8,64", w="64,32", out="y z"),
}


@pytest.mark.parametrize("what", TWICE)
def test_what_is_computed_once_is_told_of_all(what, tmp_path):
    onnx.save(compiled(TWICE[what], NAME).qdq, tmp_path / "m.onnx")
    report = compile_report(tmp_path / "m.onnx")
    assert {op.precision for op in report.ops} == {"int8"}
    assert report.int8_macs == 1
    assert len({op.layers for op in report.ops}) < len(report.ops)
