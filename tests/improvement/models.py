"""Small models with weights of chosen kinds, and samples for them."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def array(name, values):
    """An initializer of float32."""
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


def model(nodes, initializers, inputs, outputs, opset=17):
    """A model of these nodes; `inputs` and `outputs` are shapes by name."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        initializers,
    )
    result = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(result, full_check=True)
    return result


def two_convs(channels=8, seed=0):
    """Conv without bias, Relu, Conv with bias: x of 1x3x8x8 to y."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(channels, 3, 3, 3)) * np.exp(rng.normal(size=(channels, 1, 1, 1)))
    second = rng.normal(size=(4, channels, 1, 1))
    return model(
        [
            helper.make_node("Conv", ["x", "w1"], ["a"], "first", kernel_shape=[3, 3]),
            helper.make_node("Relu", ["a"], ["b"], "relu"),
            helper.make_node("Conv", ["b", "w2", "bias2"], ["y"], "second", kernel_shape=[1, 1]),
        ],
        [array("w1", first), array("w2", second), array("bias2", rng.normal(size=4))],
        {"x": [1, 3, 8, 8]},
        {"y": [1, 4, 6, 6]},
    )


def samples(count, shape=(1, 3, 8, 8), seed=1):
    """Random inputs `x`."""
    rng = np.random.default_rng(seed)
    return [{"x": rng.normal(size=shape).astype(np.float32)} for _ in range(count)]


def concat_of_a_branch():
    """A Concat of the input and of what another Conv reads too: their pairs share a scale."""
    rng = np.random.default_rng(0)
    weights = [array(f"w{i}", rng.normal(size=(3, 3, 1, 1))) for i in range(3)]
    weights.append(array("v", rng.normal(size=(3, 6, 1, 1))))
    nodes = [
        _conv(["x", "w0"], "a", "one"),
        helper.make_node("Concat", ["a", "x"], ["c"], "join", axis=1),
        _conv(["c", "v"], "d", "behind"),
        _conv(["a", "w1"], "e", "beside"),
        helper.make_node("Add", ["d", "e"], ["y"], "sum"),
    ]
    return model(nodes, weights, {"x": [1, 3, 4, 4]}, {"y": [1, 3, 4, 4]})


def _conv(inputs, output, name):
    return helper.make_node("Conv", inputs, [output], name)
