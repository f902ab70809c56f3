"""A model with two inputs: a picture and a field go through a Conv each, then into a MatMul."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def model():
    """Inputs left 1x3x16x16 and right 1x8x16x16; output product 1x16x16x16."""
    rng = np.random.default_rng(0)
    weights = {
        "left_w": rng.normal(size=(16, 3, 3, 3)),
        "right_w": rng.normal(size=(16, 8, 3, 3)),
    }
    nodes = [
        helper.make_node("Conv", ["left", "left_w"], ["l"], name="left_conv", pads=[1] * 4),
        helper.make_node("Relu", ["l"], ["l_relu"], name="left_relu"),
        helper.make_node("Conv", ["right", "right_w"], ["r"], name="right_conv", pads=[1] * 4),
        helper.make_node("Sigmoid", ["r"], ["r_sigmoid"], name="right_sigmoid"),
        helper.make_node("MatMul", ["l_relu", "r_sigmoid"], ["product"], name="product"),
    ]
    graph = helper.make_graph(
        nodes,
        "two_inputs",
        [
            helper.make_tensor_value_info("left", TensorProto.FLOAT, [1, 3, 16, 16]),
            helper.make_tensor_value_info("right", TensorProto.FLOAT, [1, 8, 16, 16]),
        ],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, [1, 16, 16, 16])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def samples(count, seed):
    """Arrays for both inputs, several samples along the first axis."""
    rng = np.random.default_rng(seed)
    return {
        "left": rng.normal(size=(count, 3, 16, 16)).astype(np.float32),
        "right": rng.uniform(-2, 2, size=(count, 8, 16, 16)).astype(np.float32),
    }
