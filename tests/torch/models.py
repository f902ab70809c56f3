"""Q/DQ models as text, in the forms that tools write."""

import numpy as np
from onnx import TensorProto, numpy_helper

from tests.onnx_text import model


def dotted(text):
    """The model of a text in which `__` stands for a dot, which names in texts cannot have."""
    made = model(text)
    for node in made.graph.node:
        node.input[:] = [name.replace("__", ".") for name in node.input]
    for tensor in made.graph.initializer:
        tensor.name = tensor.name.replace("__", ".")
    return made


# A pair in front of each input of a product: x on the left, the weight on the right.
STORED = """
g (float[N, 4] x) => (float[N, 3] y)
<float xs = {0.05}, int8 z = {0}, int8[4, 3] w, float[3] ws = {0.01, 0.02, 0.04},
 int8[3] wz = {0, 0, 0}, float[3] b>
{
    [q] xq = QuantizeLinear (x, xs, z)
    [d] xd = DequantizeLinear (xq, xs, z)
    [w_d] wd = DequantizeLinear <axis = 1> (w, ws, wz)
    [product] p = MatMul (xd, wd)
    [bias] s = Add (p, b)
    [relu] y = Relu (s)
}
"""
# The weight is float, and Q and DQ have a scale each.
IN_FLOAT = """
g (float[N, 4] x) => (float[N, 3] y)
<float xs = {0.05}, float xt = {0.05}, int8 z = {0}, float[3, 4] layer__0__weight,
 float[3] ws = {0.01, 0.02, 0.04}, int8[3] wz = {0, 0, 0}, float[3] layer__0__bias>
{
    [q] xq = QuantizeLinear (x, xs, z)
    [d] xd = DequantizeLinear (xq, xt, z)
    [w_q] wq = QuantizeLinear <axis = 0> (layer__0__weight, ws, wz)
    [w_d] wd = DequantizeLinear <axis = 0> (wq, ws, wz)
    [product] y = Gemm <transB = 1> (xd, wd, layer__0__bias)
}
"""


def stored(**values):
    """STORED with weights that cover the range of int8."""
    made = model(STORED)
    numbers = {"w": np.arange(-120, 120, 20, dtype=np.int8).reshape(4, 3), **values}
    for name, array in numbers.items():
        tensor = next(t for t in made.graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array(array, name))
    return made


def blocks(kind):
    """A product whose weight is stored in int4 blocks of 32, or in fp8 with one scale."""
    dtype, scale, how = {
        "int4": (TensorProto.INT4, "float[2, 8]", "<axis = 0, block_size = 32>"),
        "fp8": (TensorProto.FLOAT8E4M3FN, "float", ""),
    }[kind]
    rng = np.random.default_rng(0)
    made = model(
        f"""<ir_version: 10, opset_import: ["" : 21]>
        g (float[1, 64] x) => (float[1, 8] y) <{scale} s, float[64, 8] w> {{
            [w_d] d = DequantizeLinear {how} (w, s)
            [product] y = MatMul (x, d)
        }}"""
    )
    shape = (2, 8) if kind == "int4" else ()
    values = rng.integers(-7, 8, (64, 8)).astype(np.float32)
    from onnx import helper

    numbers = {
        "s": numpy_helper.from_array(rng.uniform(0.01, 0.02, shape).astype(np.float32), "s"),
        "w": helper.make_tensor("w", dtype, (64, 8), values.ravel()),
    }
    for tensor in made.graph.initializer:
        tensor.CopyFrom(numbers[tensor.name])
    return made
