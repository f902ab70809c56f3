"""Small float and Q/DQ models, built node by node."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxq.feeds.samples import Sample, sample_digest

RNG = np.random.default_rng(0)


class Builder:
    """Collects nodes and constants; every method returns the name of the tensor it makes."""

    def __init__(self):
        self.nodes, self.constants, self._count = [], [], 0

    def _name(self, prefix):
        self._count += 1
        return f"{prefix}_{self._count}"

    def constant(self, array):
        name = self._name("const")
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, op, *inputs, name=None, outputs=1, **attributes):
        name = name or self._name(op.lower())
        made = [f"{name}_out{i or ''}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), made, name=name, **attributes))
        return made[0] if outputs == 1 else made

    def pair(self, tensor, scale=0.05, *, axis=None, zero=None, dq_scale=None):
        """A Q/DQ pair. `scale` and `zero` are values or, as text, tensor names; zero='' is none."""
        scale = self._scale(scale)
        zero = self._zero(zero, scale)
        last = scale if dq_scale is None else self._scale(dq_scale)
        attributes = {} if axis is None else {"axis": axis}
        quantized = self.op("QuantizeLinear", tensor, scale, *zero, **attributes)
        return self.op("DequantizeLinear", quantized, last, *zero, **attributes)

    def _scale(self, scale):
        return scale if isinstance(scale, str) else self.constant(np.asarray(scale, np.float32))

    def _zero(self, zero, scale):
        if zero is None:
            shapes = {t.name: tuple(t.dims) for t in self.constants}
            zero = np.zeros(shapes.get(scale, ()), np.int8)
        if isinstance(zero, str):
            return [zero] if zero else []
        return [self.constant(zero)]

    def weight(self, *shape):
        return self.constant(RNG.normal(size=shape).astype(np.float32))

    def per_channel(self, *shape, axis, **options):
        scales = np.full(shape[axis], 0.02)
        return self.pair(self.weight(*shape), scales, **{"axis": axis, **options})

    def conv(self, tensor, channels_in, channels_out, *, name="conv", weights=True, scale=0.05):
        """A 3x3 Conv; `scale` None leaves its activation without a pair."""
        shape = (channels_out, channels_in, 3, 3)
        weight = self.per_channel(*shape, axis=0) if weights else self.weight(*shape)
        data = tensor if scale is None else self.pair(tensor, scale)
        return self.op("Conv", data, weight, name=name, pads=[1, 1, 1, 1])

    def model(self, *outputs, shape=(1, 4, 8, 8), dtype=TensorProto.FLOAT, opset=17):
        """The model with input `x` of the given shape."""
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(o, dtype, None) for o in outputs],
            self.constants,
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
        )


def quantized_conv(**options):
    """x -> pair -> Conv 'conv' with per-channel weights."""
    build = Builder()
    return build.model(build.conv("x", 4, 8), **options)


def float_conv(**options):
    """The Conv without pairs."""
    build = Builder()
    return build.model(build.conv("x", 4, 8, weights=False, scale=None), **options)


def saved(model, folder, name="model.onnx"):
    """Write a model; returns its path."""
    path = folder / name
    onnx.save(model, path)
    return path


def fed(arrays):
    """Samples of one input 'x', named by their place."""
    for index, array in enumerate(arrays):
        tensors = array if isinstance(array, dict) else {"x": np.asarray(array, np.float32)}
        digest = sample_digest(tensors)
        yield Sample(name=f"sample {index}", tensors=tensors, digest=digest)


def varied():
    """One op of each fate: what the engine's layer list looks like for it is kept in layers.txt."""
    build = Builder()
    left, right = (build.conv("x", 4, 8, name=n, scale=0.05) for n in ("int8_left", "int8_right"))
    joined = build.op("Concat", build.pair(left), build.pair(right), name="concat", axis=1)
    pooled = build.op("MaxPool", joined, name="pool", kernel_shape=[2, 2], strides=[2, 2])
    middle = build.conv(pooled, 16, 16, name="int8_after_concat", scale=None)
    stays = build.conv(middle, 16, 16, name="weights_only", scale=None)
    grown = build.op(
        "ConvTranspose",
        build.pair(stays),
        build.per_channel(16, 8, 2, 2, axis=1),
        name="deconv",
        strides=[2, 2],
    )
    rows = build.op("Reshape", grown, build.constant(np.array([16, 32])), name="rows")
    wrong = build.op("MatMul", build.pair(rows), build.per_channel(32, 64, axis=0), name="axis_0")
    right = build.op("MatMul", build.pair(wrong), build.per_channel(64, 32, axis=1), name="axis_1")
    other = build.op("Transpose", right, name="turned", perm=[1, 0])
    product = build.op("MatMul", build.pair(right), build.pair(other), name="two_activations")
    return build.model(product, shape=(1, 4, 8, 8))


VARIED = {
    "int8_left": "int8",
    "int8_right": "int8",
    "int8_after_concat": "int8",
    "weights_only": "float",
    "deconv": "float",
    "axis_0": "float",
    "axis_1": "int8",
    "two_activations": "int8",
}


def attention(*, mask=False, probabilities=True, out=True):
    """softmax(Q K) V with pairs, of which those of the Softmax and of the result can be left out.

    The products are 'scores' and 'mixed'; all four inputs are made from x.
    """
    build = Builder()
    turned = build.op("Transpose", "x", name="turned", perm=[0, 1, 3, 2])
    data = build.op("MatMul", build.pair("x"), build.pair(turned), name="scores")
    data = build.op("Add", data, build.weight(1, 1, 1, 32)) if mask else data
    data = build.op("Softmax", data, name="softmax", axis=-1)
    data = build.pair(data, 0.01) if probabilities else data
    values = build.op("Mul", "x", build.constant(np.float32(2)), name="values")
    data = build.op("MatMul", data, build.pair(values), name="mixed")
    data = build.pair(data) if out else data
    return build.model(build.op("Relu", data, name="last"), shape=(1, 2, 32, 32))


def types():
    """Products in half, bfloat16 and fp8, each named after its type, and pairs that cost time."""
    build = Builder()
    results = []
    for name, dtype in (("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)):
        data = build.op("Cast", "x", to=dtype)
        weight = build.op("Cast", build.weight(32, 32), to=dtype)
        data = build.op("MatMul", data, weight, name=name)
        results.append(build.op("Cast", data, to=TensorProto.FLOAT))
    build.constants.append(
        helper.make_tensor("zero", TensorProto.FLOAT8E4M3FN, [], b"\0", raw=True)
    )
    data, weight = (build.pair(t, zero="zero") for t in ("x", build.weight(32, 32)))
    results.append(build.op("MatMul", data, weight, name="fp8"))
    again = build.pair(build.pair("x", 0.05), 0.06)  # rounded twice
    right = build.per_channel(32, 32, axis=1)
    results.append(build.op("MatMul", again, right, name="int8"))
    results.append(build.op("Sigmoid", build.pair("x", 0.07)))  # rounded for nothing
    return build.model(*results, shape=(1, 2, 32, 32), opset=19)


TYPES = {"fp16": "float", "bf16": "float", "fp8": "fp8", "int8": "int8"}
