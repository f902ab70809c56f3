"""Q/DQ models with damaged scales, zero points, axes and types: no verb ends in a traceback.

What lint --fix writes has no value that is not finite where the file had none.
"""

import warnings

import ml_dtypes
import numpy as np
import pytest
from onnx import helper, numpy_helper, parser

import onnxq
from onnxq.diagnostics import OnnxqError

PAIR = "xq = QuantizeLinear (x, s, z) xd = DequantizeLinear (xq, s, z)"
MODELS = {
    "Conv with a bias": (
        "float[1,4,8,8] x",
        f"""{PAIR} wd = DequantizeLinear <axis = 0> (w, ws, wz) bd = DequantizeLinear (b, bs)
        c = Conv (xd, wd, bd) cq = QuantizeLinear (c, t, u) y = DequantizeLinear (cq, t, u)""",
        (8, 4, 3, 3),
    ),
    "MatMul": (
        "float[4,6] x",
        f"{PAIR} wd = DequantizeLinear <axis = 1> (w, ws, wz) y = MatMul (xd, wd)",
        (6, 8),
    ),
    "Gemm that turns its weight": (
        "float[4,6] x",
        f"{PAIR} wd = DequantizeLinear <axis = 0> (w, ws, wz) y = Gemm <transB = 1> (xd, wd)",
        (8, 6),
    ),
    "a float weight behind a pair": (
        "float[4,6] x",
        f"""{PAIR} wq = QuantizeLinear <axis = 1> (f, ws, wz)
        wd = DequantizeLinear <axis = 1> (wq, ws, wz) y = MatMul (xd, wd)""",
        (6, 8),
    ),
    "an embedding": (
        "int64[4] i",
        f"wd = DequantizeLinear <axis = 0> (w, ws, wz) x = Gather (wd, i) {PAIR} y = Relu (xd)",
        (8, 6),
    ),
    "a constant in a Concat": (
        "float[8,6] x",
        f"""wd = DequantizeLinear <axis = 0> (w, ws, wz) {PAIR} j = Concat <axis = 0> (xd, wd)
        kd = DequantizeLinear (k, s) y = Mul (j, kd)""",
        (8, 6),
    ),
}
FLOATS = [np.float32, np.float32, np.float16, ml_dtypes.bfloat16]
TYPES = [np.int8, np.int8, np.int8, np.uint8, np.uint16, np.int16, np.int32]
TYPES += [ml_dtypes.int4, ml_dtypes.float8_e4m3fn]
SHAPES = [(), (1,), (5,), (6,), (8,), (8, 1), (1, 8), (6, 1), (1, 1), (3, 8), (8, 1, 1, 1), (0,)]
VALUES = [0.0, np.inf, np.nan, -1.0, 1e-42, 3e38, 60000.0]


def damaged(seed):
    """A Q/DQ model with a few random faults, and its name."""
    rng = np.random.default_rng(seed)

    def one_of(choices):
        return choices[int(rng.integers(len(choices)))]

    def scale(shape):
        values = np.full(shape if rng.random() < 0.6 else one_of(SHAPES), 0.02)
        if values.size and rng.random() < 0.4:
            values.reshape(-1)[0] = one_of(VALUES)
        with np.errstate(all="ignore"):
            return values.astype(of_scales)

    def zero(shape, dtype):
        value = 0 if rng.random() < 0.6 else one_of([1, 7])
        return np.full(shape if rng.random() < 0.7 else one_of(SHAPES), value).astype(dtype)

    name = one_of(sorted(MODELS))
    source, body, shape = MODELS[name]
    of_scales, dtype = one_of(FLOATS), one_of(TYPES)
    header = f'<ir_version: 10, opset_import: ["" : {one_of([13, 19, 21, 23])}]>'
    model = parser.parse_model(f"{header} g ({source}) => (float y) {{ {body} }}")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    scales = scale((8,) if rng.random() < 0.8 else ())
    constants = {
        "s": scale(()),
        "z": zero((), one_of([dtype, np.int8])),
        "t": scale(()),
        "u": zero((), one_of([np.int8, np.uint16])),
        "w": rng.integers(0, 8, shape).astype(dtype),
        "ws": scales,
        "wz": zero(scales.shape, dtype),
        "f": rng.normal(size=shape).astype(of_scales),
        "b": rng.integers(-(10**6), 10**6, 8).astype(np.int32),
        "bs": scale((8,)),
        "k": np.asarray(5, np.int8),
    }
    read = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items() if k in read
    )
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        if rng.random() < 0.2:
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("axis", one_of([0, 1, -1, 2, 7])))
        if rng.random() < 0.1:
            node.attribute.append(helper.make_attribute("block_size", one_of([1, 2, 3, 32])))
        if rng.random() < 0.1:
            del node.input[2:]
    return name, model


@pytest.mark.parametrize("first", range(0, 240, 40))
def test_no_fault_of_a_pair_ends_in_a_traceback(first):
    """Only `strip` refuses any, and only for scales that do not fit."""
    refusals = set()
    for seed in range(first, first + 40):
        _, model = damaged(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            onnxq.lint(model)
            require_repaired(model)
            onnxq.plan(onnxq.load(model, existing="keep"))
            refusal = refusal_by(onnxq.strip, model)
            assert refusal_by(stripped, model) == refusal
            refusals.add(refusal)
    assert refusals == {(), ("OQ309",)}


def stripped(model):
    return onnxq.load(model, existing="strip")


def refusal_by(verb, model):
    """The codes with which a verb refuses a model."""
    try:
        verb(model)
    except OnnxqError as refused:
        return tuple(d.code for d in refused.diagnostics)
    return ()


def require_repaired(model):
    made = onnxq.lint(model, fix=True).proto
    if not finite(model):
        return
    before = {t.name for t in model.graph.initializer}
    for tensor in made.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name not in before and values.dtype != np.int8:
            assert np.all(np.isfinite(values.astype(np.float64))), tensor.name


def finite(model):
    arrays = (numpy_helper.to_array(t).astype(np.float64) for t in model.graph.initializer)
    return all(np.all(np.isfinite(a)) for a in arrays)


def test_the_kinds_are_all_drawn():
    assert {damaged(seed)[0] for seed in range(60)} == set(MODELS)
