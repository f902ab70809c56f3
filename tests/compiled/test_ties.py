"""Scales that ranges keep apart: every product stays INT8, and one more copy is stored."""

from functools import cache

import numpy as np
import pytest
from onnx import numpy_helper

from onnxq.linting import predict

from .engine import compiled, layers_of, quantized
from .table import BASE, net, recipe

POOL = "MaxPool<kernel_shape = [5,5], pads = [2,2,2,2]>"
NETS = {  # w1 is 30 times as large as the others
    "two readers": net(
        "a = conv(x, w0) f = Relu(a) b = conv(f, w1) k = Concat<axis = 1>(f, b) d = conv(k, w2) "
        "y = Relu(d) z = conv(f, w4)",
        out="y z",
        w2="32,64,3,3",
    ),
    "SPPF": net(
        f"a = conv(x, w0) f = Relu(a) p = {POOL}(f) q = {POOL}(p) b = conv(f, w1) "
        "k = Concat<axis = 1>(f, p, q, b) d = conv(k, w2) y = Relu(d) z = conv(f, w4)",
        out="y z",
        w2="32,128,3,3",
    ),
    "Resize": net(
        "a = conv(x, w0) c = Relu(a) r = Constant<value_floats = [1.0,1.0,2.0,2.0]>() "
        'f = Resize<mode = "nearest">(c, , r) b = conv(f, w1) k = Concat<axis = 1>(f, b) '
        "d = conv(k, w2) y = Relu(d) z = conv(f, w4)",
        out="y z",
        w2="32,64,3,3",
    ),
}
TIE = "Concat, MaxPool | share_scale: {ports: [inputs, outputs], within: 4}"
ALWAYS = "Concat, MaxPool | share_scale: [inputs, outputs]"
AT_CONCAT = "Concat | quantize: {inputs: act}"
NONE_BEHIND = "Conv(Concat, ...) | skip: inputs"
FORMS = {"behind": (BASE,), "around": (BASE, AT_CONCAT), "before": (BASE, AT_CONCAT, NONE_BEHIND)}


def widen(model):
    """Make w1 30 times as large, in place."""
    (wide,) = (t for t in model.graph.initializer if t.name == "w1")
    wide.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(wide) * np.float32(30), "w1"))


for each in NETS.values():
    widen(each)


@cache
def built(name, *rules):
    return compiled(NETS[name], recipe(*rules))


def scales_of(made, tensor):
    """The scales of the pairs on a tensor."""
    stored = {t.name: numpy_helper.to_array(t) for t in made.qdq.graph.initializer}
    quantizers = [n for n in made.qdq.graph.node if n.op_type == "QuantizeLinear"]
    return {float(stored[n.input[1]]) for n in quantizers if n.input[0] == tensor}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NETS)
def test_every_product_is_int8_and_the_narrow_branch_has_its_own_scale(name, form):
    made, tied = built(name, *FORMS[form], TIE), built(name, *FORMS[form], ALWAYS)
    assert set(made.products.values()) == {"int8"}
    assert made.stored_in_float == tied.stored_in_float
    own = scales_of(made, "f")
    assert min(scales_of(tied, "f")) > 4 * min(own)


@pytest.mark.parametrize("name", NETS)
def test_without_any_tie_the_conv_behind_pairs_of_unequal_scale_is_float(name):
    made = built(name, *FORMS["before"])
    assert made.of("d") == "float"
    assert "Concat_k" in made.stored_in_float


def test_what_leaves_is_stored_once_more():
    assert built("two readers", BASE, ALWAYS).of("f") == "Float>Int8"
    assert built("two readers", BASE, TIE).of("f") == "Float>Int8+Int8"


def test_behind_a_silu_the_copy_is_float():
    model = net(
        "a = conv(x, w0) s = Sigmoid(a) f = Mul(a, s) b = conv(f, w1) t = Sigmoid(b) "
        "g = Mul(b, t) k = Concat<axis = 1>(f, g) d = conv(k, w2) y = Relu(d) z = conv(f, w4)",
        out="y z",
        w2="32,64,3,3",
    )
    widen(model)
    tied, made = (compiled(model, recipe(BASE, tie)) for tie in (ALWAYS, TIE))
    assert {*made.products.values(), *tied.products.values()} == {"int8"}
    assert tied.stored_in_float == set()
    assert "Mul_f" in made.stored_in_float


def test_pools_are_int8_in_both_forms():
    for tie in (TIE, ALWAYS):
        assert {built("SPPF", BASE, tie).of(pool) for pool in "pq"} == {"Int8>Int8"}


@pytest.mark.parametrize("name", NETS)
def test_the_shipped_recipe(name):
    made = compiled(NETS[name], "trt-int8")
    assert set(made.products.values()) == {"int8"}
    assert len(scales_of(made, "f") | scales_of(made, "k")) == 2


def test_lint_foresees_it():
    _, _, qdq = quantized(NETS["two readers"], recipe(*FORMS["around"], TIE))
    layers = layers_of(qdq)
    foreseen = {op.node: op.precision for op in predict(qdq).ops}
    assert foreseen == {
        node: layers.precision(node) for node in ("Conv_a", "Conv_b", "Conv_d", "Conv_z")
    }
