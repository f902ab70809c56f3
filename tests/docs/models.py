"""A small model for the commands and the code of the documents."""

import onnx

from tests.onnx_text import model

MODEL = """
small (float[1, 3, 32, 32] images) => (float[1, 4, 32, 32] y) <float[4,3,3,3] w, float[4,4,3,3] v> {
    [first] a = Conv <pads = [1,1,1,1]> (images, w)
    b = Relu (a)
    y = Conv <pads = [1,1,1,1]> (b, v)
}
"""


def named_as_exported(text: str) -> onnx.ModelProto:
    """A small model whose nodes and tensors have the names of an export from torch."""
    proto = model(text)
    first, relu, second = proto.graph.node
    first.name, relu.name, second.name = "/model.0/conv/Conv", "/model.0/act/Relu", "/model.1/Conv"
    first.output[0] = relu.input[0] = "/model.0/conv/Conv_output_0"
    relu.output[0] = second.input[0] = "/model.0/act/Relu_output_0"
    return proto
