"""Small models and what their engines cost; every build is a real one of TensorRT-RTX."""

import numpy as np
import onnx
from onnx import TensorProto

from onnxq import quantize
from onnxq.cost.gpu import load
from onnxq.verification import tensorrt
from onnxq.verification.costing import cost_of
from tests.compiled.table import net
from tests.verification.models import RNG, Builder, float_conv, quantized_conv

L4 = load("l4")


def cost(model, folder, gpu=L4):
    """The cost of a model's engine on a GPU."""
    path = folder / "model.onnx"
    onnx.save(model, path)
    return cost_of("qdq", tensorrt.compile_model(path), gpu)


def half_product():
    """16x64 by 64x32 in half precision, between casts."""
    build = Builder()
    data = build.op("Cast", "x", name="down", to=TensorProto.FLOAT16)
    weight = build.constant(RNG.normal(size=(64, 32)).astype(np.float16))
    product = build.op("MatMul", data, weight, name="product")
    return build.model(build.op("Cast", product, name="up", to=TensorProto.FLOAT), shape=(16, 64))


def residual():
    """Two int8 Convs of 32 channels; an Add reads the pair in front of the second."""
    build = Builder()
    first = build.op("Relu", build.conv("x", 4, 32, name="one"), name="relu")
    paired = build.pair(first)
    second = build.op("Conv", paired, build.per_channel(32, 32, 3, 3, axis=0), name="two",
                      pads=[1, 1, 1, 1])  # fmt: skip
    return build.model(build.op("Relu", build.op("Add", second, paired, name="add"), name="last"))


def int4_product():
    """4x256 by 256x48, of which the weights are INT4 in blocks of 32."""
    model = net("y = MatMul(x, w)", x="4,256", w="256,48")
    return quantize(model, recipe="trt-int4-weights", backend="onnxruntime").proto


def two_products_added():
    """The sum of two int8 Convs: an Add has the epilogue of one of them."""
    build = Builder()
    left, right = (build.conv("x", 4, 32, name=name) for name in ("left", "right"))
    return build.model(build.op("Relu", build.op("Add", left, right, name="add"), name="last"))


def averaged():
    """A Conv and the mean of its result."""
    build = Builder()
    conv = build.op("Relu", build.conv("x", 4, 32, name="conv"), name="relu")
    return build.model(build.op("GlobalAveragePool", conv, name="mean"))


INT8_CONV, FP32_CONV = quantized_conv, float_conv
