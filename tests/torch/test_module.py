"""Q/DQ models as modules: names, parameters, inputs, and what torch does with modules."""

import copy

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.utils.data import DataLoader

import onnxq
import onnxq.torch
from onnxq.diagnostics import OnnxqError
from tests.inserting import computed
from tests.onnx_text import model

from .models import IN_FLOAT, blocks, dotted, stored

FORMS = {
    "stored": stored,
    "in float": lambda: dotted(IN_FLOAT),
    "int4": lambda: blocks("int4"),
    "fp8": lambda: blocks("fp8"),
}


def batch(rows=5, width=4, seed=0):
    return torch.randn((rows, width), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("form", FORMS)
def test_it_computes_what_onnxruntime_does(form):
    proto = FORMS[form]()
    width = 64 if form in ("int4", "fp8") else 4
    x = batch(1, width)
    result = onnxq.torch.load(proto)(x)
    np.testing.assert_allclose(result.detach().numpy(), computed(proto, x=x.numpy())[0], 1e-5, 1e-6)


def test_parameters_are_the_initializers_by_name():
    loaded = onnxq.torch.load(dotted(IN_FLOAT))
    names = {"layer.0.weight", "layer.0.bias"}
    assert set(loaded.initializers) == names
    assert set(dict(loaded.named_parameters())) == {
        *names,
        "quantizers.x.amax",
        "quantizers.layer.0.weight.amax",
    }
    assert loaded.get_parameter("layer.0.weight") is loaded.initializers["layer.0.weight"]


def test_names_that_modules_have_too():
    """`type` is a method of every module, `a` is a tensor and a part of another name."""
    text = """
    g (float[N, 4] x) => (float[N, 4] y)
    <float[4, 4] type, float[4, 4] a, float[4, 4] a__b, float[4] a____b> {
        p = MatMul (x, type)  q = MatMul (p, a)  r = MatMul (q, a__b)  y = Add (r, a____b)
    }
    """
    proto = dotted(text)
    loaded = onnxq.torch.load(proto)
    assert set(loaded.state_dict()) == {"type", "a", "a.b", "a..b"}
    loaded.load_state_dict(loaded.state_dict())
    x = batch()
    wanted = computed(proto, x=x.numpy())[0]
    np.testing.assert_allclose(loaded(x).detach().numpy(), wanted, 1e-5, 1e-6)


def test_a_stored_weight_is_a_parameter_of_its_values():
    values = onnxq.torch.load(stored()).initializers["w"]
    steps = np.arange(-120, 120, 20).reshape(4, 3)
    np.testing.assert_array_equal(
        values.detach().numpy(), (steps * np.float32([0.01, 0.02, 0.04])).astype(np.float32)
    )


TABLES = """
g (int64[N, 2] ids, float[N, 3, 2, 2] picture) => (float[N, 2, 4] y, float[N, 4, 1, 1] z)
<float[9, 4] table, float[3, 1, 1] mean, float[4, 3, 2, 2] w, float[4] b, float[4] v, float[4] m,
 float[4, 1, 1] grid, float[4, 4] dense, float[4] bias, float[4] gamma, float[4] beta,
 float two = {2}, float eps = {0.001}, float[4] scale, float[4] shift> {
    e = Gather (table, ids)
    f = MatMul (e, dense)
    g1 = Add (f, bias)
    mu = ReduceMean <axes = [-1]> (g1)
    c = Sub (g1, mu)
    sq = Pow (c, two)
    var = ReduceMean <axes = [-1]> (sq)
    ve = Add (var, eps)
    sd = Sqrt (ve)
    n = Div (c, sd)
    ng = Mul (n, gamma)
    y = Add (ng, beta)
    p = Sub (picture, mean)
    k = Conv (p, w)
    bn = BatchNormalization (k, scale, shift, m, v)
    z = Add (bn, grid)
}
"""


def test_tables_statistics_and_grids_do_not_learn():
    """Products, biases and normalizations do, also those in small ops."""
    loaded = onnxq.torch.load(model(TABLES))
    learning = {name for name, p in loaded.initializers.items() if p.requires_grad}
    assert learning == {"dense", "bias", "gamma", "beta", "w", "scale", "shift"}
    assert set(loaded.initializers) - learning == {"table", "mean", "m", "v", "grid"}


SHARED = """
g (float[N, 4] x) => (float[N, 8] y) <float s = {0.05}, int8 z = {0}> {
    r = Relu (x)
    aq = QuantizeLinear (x, s, z)  ad = DequantizeLinear (aq, s, z)
    bq = QuantizeLinear (r, s, z)  bd = DequantizeLinear (bq, s, z)
    y = Concat <axis = 1> (ad, bd)
}
"""


def test_pairs_with_one_scale_share_their_amax():
    loaded = onnxq.torch.load(model(SHARED))
    one, other = loaded.quantizers.values()
    assert one.amax is other.amax
    assert len(list(loaded.parameters())) == 1


MOVED = """
g (float[N, 4] x) => (float[M] y) <float s = {0.05}, int8 z = {0}, int64[1] flat = {-1}> {
    [q] a = QuantizeLinear (x, s, z)
    b = Reshape (a, flat)
    [d] y = DequantizeLinear (b, s, z)
}
"""


def test_integers_may_be_moved_between_q_and_dq():
    proto, x = model(MOVED), batch()
    result = onnxq.torch.load(proto)(x)
    np.testing.assert_array_equal(result.detach().numpy(), computed(proto, x=x.numpy())[0])


UNSIGNED = """
g (float[N, 4] x) => (float[N, 4] y) <float s = {0.02}, uint8 z = {100}> {
    q = QuantizeLinear (x, s, z)
    y = DequantizeLinear (q, s, z)
}
"""


def test_a_zero_point_moves_the_range():
    proto, x = model(UNSIGNED), batch() * 4
    result = onnxq.torch.load(proto)(x)
    values = result.detach().numpy()
    assert values.min() == pytest.approx(-2)
    assert values.max() == pytest.approx(3.1)
    np.testing.assert_allclose(values, computed(proto, x=x.numpy())[0], 1e-6)


def test_without_pairs_it_is_the_float_model():
    proto, x = stored(), batch()
    loaded = onnxq.torch.load(proto)
    loaded.fake_quant(False)
    stripped = onnxq.load(proto, existing="strip").proto
    np.testing.assert_allclose(
        loaded(x).detach().numpy(), computed(stripped, x=x.numpy())[0], 1e-5, 1e-6
    )


def test_all_quantizers_of_activations_calibrate_at_once():
    loaded, x = onnxq.torch.load(stored()), batch(1000)
    weights = loaded.quantizers["w"].amax.detach().clone()
    loaded.enable_calib()
    loaded(x)
    loaded.load_calib_amax()
    assert loaded.quantizers["x"].amax.item() == x.abs().max()
    assert torch.equal(loaded.quantizers["w"].amax, weights)


@pytest.mark.parametrize(
    ("inputs", "named"),
    [((), {}), ((1, 2), {}), ((1,), {"x": 2}), ((), {"y": 1}), (({"x": 1, "z": 2},), {})],
)
def test_other_inputs_than_those_of_the_model(inputs, named):
    with pytest.raises(OnnxqError, match=r"OQ706.*the inputs x;"):
        onnxq.torch.load(stored())(*inputs, **named)


def test_inputs_by_place_by_name_and_together():
    loaded, x = onnxq.torch.load(stored()), batch()
    for result in (loaded(x=x), loaded({"x": x})):
        assert torch.equal(result, loaded(x))


def test_several_outputs_have_names():
    loaded = onnxq.torch.load(model(TABLES))
    outputs = loaded(torch.zeros(3, 2, dtype=torch.int64), torch.randn(3, 3, 2, 2))
    assert {name: tuple(t.shape) for name, t in outputs.items()} == {
        "y": (3, 2, 4),
        "z": (3, 4, 1, 1),
    }


def test_a_copy_learns_by_itself():
    loaded = onnxq.torch.load(stored())
    other, before = copy.deepcopy(loaded), copy.deepcopy(loaded.state_dict())
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(2)
    assert all(torch.equal(t, before[name]) for name, t in loaded.state_dict().items())
    assert not torch.equal(other(batch()), loaded(batch()))


def test_a_plain_training_loop(tmp_path):
    """With a DataLoader, autocast, and labels: a linear model learns which column is largest."""
    loaded = onnxq.torch.load(stored())
    x = batch(256)
    data = DataLoader(list(zip(x, x[:, :3].argmax(1), strict=True)), batch_size=32)
    optimizer = torch.optim.Adam(loaded.parameters(), lr=0.02)
    losses = []
    for _ in range(20):
        for some, labels in data:
            with torch.autocast("cpu", torch.bfloat16):
                loss = torch.nn.functional.cross_entropy(loaded(some).float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert np.mean(losses[-8:]) < np.mean(losses[:8]) * 0.7


def test_functions_of_torch_replace_parameters():
    loaded, x = onnxq.torch.load(stored()), batch()
    twice = {name: 2 * p for name, p in loaded.named_parameters() if name in ("w", "b")}
    twice["quantizers.w.amax"] = 2 * loaded.quantizers["w"].amax
    torch.testing.assert_close(functional_call(loaded, twice, (x,)), 2 * loaded(x))


def test_float64_goes_through():
    loaded = onnxq.torch.load(stored()).double()
    assert loaded(batch().double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("q = QuantizeLinear (x, one, z) y = DequantizeLinear (q, two, z)", "its scale is not"),
        (
            "m = ReduceMax <keepdims = 0> (x) q = QuantizeLinear (x, m, z) "
            "y = DequantizeLinear (q, m, z)",
            "its scale is computed",
        ),
        ("q = Cast <to = 3> (x) y = DequantizeLinear (q, one, z)", "no QuantizeLinear makes"),
    ],
)
def test_pairs_that_no_quantizer_is(body, why):
    text = f"""g (float[N, 4] x) => (float[N, 4] y)
    <float one = {{1}}, float two = {{2}}, int8 z = {{0}}> {{ {body} }}"""
    with pytest.raises(OnnxqError, match=f"OQ703.*{why}"):
        onnxq.torch.load(model(text))


def test_a_node_that_torch_cannot_compute_is_named():
    text = "g (float[1, 4, 2, 2] x) => (float[1, 4, 2, 2] y) { [norm] y = LRN <size = 3> (x) }"
    with pytest.raises(OnnxqError, match=r"OQ702.*LRN 'norm'"):
        onnxq.torch.load(model(text))


def test_what_is_supported_and_what_is_not():
    supported = onnxq.torch.supported()
    assert {"Conv", "QuantizeLinear"} <= set(supported.operators)
    assert {"LRN", "TopK"} <= set(supported.missing)
    assert not set(supported.operators) & set(supported.missing)
    assert "missing: " in str(supported)


def close_to_onnxruntime(text, x, *, opset=17):
    proto = model(text, opset=opset)
    result = onnxq.torch.load(proto)(x)
    np.testing.assert_allclose(result.detach().numpy(), computed(proto, x=x.numpy())[0], 1e-5, 1e-6)


@pytest.mark.parametrize(
    ("dtype", "point"),
    [("int8", -128), ("int8", -10), ("int8", 127), ("uint8", 0), ("uint8", 255), ("int16", -9)],
)
def test_every_zero_point(dtype, point):
    """Also those at an end, which a tensor after a ReLU or without positive values has."""
    text = f"""
    g (float[N, 4] x) => (float[N, 4] y) <float s = {{0.02}}, {dtype} z = {{{point}}}> {{
        q = QuantizeLinear (x, s, z)
        y = DequantizeLinear (q, s, z)
    }}
    """
    close_to_onnxruntime(text, batch() * 3, opset=21)


def test_calibration_of_a_range_with_a_zero_point():
    text = """
    g (float[N, 4] x) => (float[N, 4] y) <float s = {1}, uint8 z = {200}> {
        q = QuantizeLinear (x, s, z)
        y = DequantizeLinear (q, s, z)
    }
    """
    loaded = onnxq.torch.load(model(text))
    loaded.enable_calib()
    loaded(torch.tensor([[-4.0, 0.0, 1.0, 0.5]]))
    loaded.load_calib_amax()
    assert loaded.quantizers["x"].scale.item() == pytest.approx(4 / 199)


def test_quantizers_with_one_scale_calibrate_together():
    loaded = onnxq.torch.load(model(SHARED))
    loaded.enable_calib()
    loaded(torch.tensor([[-10.0, 1.0, 1.0, 2.0]]))
    loaded.load_calib_amax()
    assert {q.amax.item() for q in loaded.quantizers.values()} == {10.0}


@pytest.mark.parametrize(
    ("between", "why"),
    [
        ("f = Cast <to = 1> (q)  y = Identity (f)", "Cast 'c' computes with its integers"),
        ("r = Relu (q)  y = DequantizeLinear (r, s, z)", "Relu 'c' computes"),
        ("p = Concat <axis = 0> (q, k)  y = DequantizeLinear (p, s, z)", "Concat 'c' computes"),
        ("y = DequantizeLinear (q, s, z)  o = Identity (q)", "Identity|output of the model"),
    ],
)
def test_integers_that_are_more_than_moved_are_refused(between, why):
    first, _, rest = between.partition("  ")
    outputs = "float[M, 4] y, int8[N, 4] o" if "o = " in between else "float[M, 4] y"
    text = f"""g (float[N, 4] x) => ({outputs})
    <float s = {{0.05}}, int8 z = {{20}}, int8[1, 4] k = {{1, 2, 3, 4}}> {{
        q = QuantizeLinear (x, s, z)
        [c] {first}
        {rest}
    }}"""
    with pytest.raises(OnnxqError, match=f"OQ703.*({why})"):
        onnxq.torch.load(model(text, opset=17))


ATTENTION = """
g (float[1, 4, 8] x) => (float[1, 4, 8] y)
<float[8, 8] wq, float[8] bq, float[8, 8] wk, float[1, 1, 4] mask> {
    a = MatMul (x, wq)
    q = Add (a, bq)
    k = MatMul (x, wk)
    t = Transpose <perm = [0, 2, 1]> (k)
    s = MatMul (q, t)
    m = Add (s, mask)
    p = Softmax <axis = -1> (m)
    y = MatMul (p, q)
}
"""


def test_a_mask_is_no_bias():
    """It is added behind a product too, but to one without a weight."""
    loaded = onnxq.torch.load(model(ATTENTION))
    learning = {name for name, p in loaded.initializers.items() if p.requires_grad}
    assert learning == {"wq", "bq", "wk"}


def test_names_of_which_one_is_the_beginning_of_another():
    text = """
    g (float[N, 4] x) => (float[N, 4] y)
    <float s = {0.1}, float t = {0.2}, int8 z = {0}, float[4, 4] conv__weight, float[4, 4] passing,
     float[4] quantizers__x> {
        a = MatMul (x, passing)
        conv = Add (a, quantizers__x)
        wq = QuantizeLinear (conv__weight, s, z)  wd = DequantizeLinear (wq, s, z)
        xq = QuantizeLinear (conv, t, z)  xd = DequantizeLinear (xq, t, z)
        y = MatMul (xd, wd)
    }
    """
    proto, x = dotted(text), batch()
    loaded = onnxq.torch.load(proto)
    names = set(dict(loaded.named_parameters()))
    assert {"quantizers.conv.amax", "quantizers.conv.weight.amax", "conv.weight"} <= names
    assert len(names) == 5
    result = loaded(x).detach().numpy()
    np.testing.assert_allclose(result, computed(proto, x=x.numpy())[0], 1e-5, 1e-6)


def test_bfloat16_is_refused():
    text = "g (bfloat16[N, 4] x) => (bfloat16[N, 4] y) <bfloat16[4] b> { y = Add (x, b) }"
    proto = model(text.replace("bfloat16", "float"))
    for tensor in proto.graph.initializer:
        tensor.data_type = 16
        tensor.raw_data = b"\0\x3f" * 4
        del tensor.float_data[:]
    with pytest.raises(OnnxqError, match=r"OQ702.*bfloat16"):
        onnxq.torch.load(proto)
