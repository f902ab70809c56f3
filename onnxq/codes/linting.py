"""OQ610 to OQ649: lint."""

from typing import Final

from onnxq.codes.code import Code

LINTING: Final[dict[str, Code]] = {
    "OQ610": Code(
        meaning="A zero point is missing or not zero. Without one ONNX means uint8 and "
        "TensorRT takes int8: the two compute different things.",
        example="QuantizeLinear (x, scale)",
        fix="Give it an int8 zero point of zeros.",
    ),
    "OQ611": Code(
        meaning="A scale is zero, negative, infinite, NaN or subnormal.",
        example="a scale of 0 for a channel that is always zero",
        fix="Use constant, positive scales of normal size; 1 serves a dead channel.",
    ),
    "OQ612": Code(
        meaning="A per-tensor scale is not a scalar. TensorRT may reject a scale of shape [1], or "
        "run float.",
        example="a scale of shape [1]",
        fix="Make the scale and its zero point rank 0.",
    ),
    "OQ613": Code(
        meaning="A per-channel scale of a weight has the wrong axis or size. TensorRT would "
        "silently run the op in float.",
        example="a MatMul weight with axis 0",
        fix="Write one scale for each output channel, on the axis of that channel.",
    ),
    "OQ614": Code(
        meaning="An activation is quantized per channel. TensorRT would silently run float.",
        example="QuantizeLinear <axis = 1> of a Conv's input",
        fix="Use one scalar scale for the whole activation.",
    ),
    "OQ615": Code(
        meaning="The QuantizeLinear and the DequantizeLinear of a pair have different scales, "
        "which multiplies the tensor by their ratio.",
        example="a scale edited in one of the two nodes",
        fix="Give both the same scale.",
    ),
    "OQ616": Code(
        meaning="A bias is quantized to int32, as onnxruntime's quantizer does. TensorRT rejects "
        "it; it needs float biases.",
        example="DequantizeLinear (int32 bias, scale)",
        fix="Leave the bias in float (in onnxruntime's quantizer: `QuantizeBias=False`).",
    ),
    "OQ617": Code(
        meaning="Only one of an op's activation and weight is quantized. TensorRT would run the op "
        "in float, and the pair only costs accuracy.",
        example="{match: {op: Conv}, quantize: {inputs: act}}    # and no weights",
        fix="Quantize both, or neither.",
    ),
    "OQ618": Code(
        meaning="A quantized constant is read by something else than a DequantizeLinear, which "
        "TensorRT does not accept.",
        example="an int8 weight, then a Transpose, then the DequantizeLinear",
        fix="Put the DequantizeLinear directly behind the constant.",
    ),
    "OQ619": Code(
        meaning="Nodes have no name or share one. TensorRT would merge them in its reports, and "
        "nobody could say which layer ran in float.",
        example="an exporter that names no nodes",
        fix="Give every node a name of its own; `onnxq insert` does that.",
    ),
    "OQ620": Code(
        meaning="The opset is too old for what the Q/DQ nodes use, such as `axis` before opset 13.",
        example='opset_import: ["" : 11] with DequantizeLinear <axis = 0>',
        fix="Export the model with the opset that the message names, or newer.",
    ),
    "OQ621": Code(
        meaning="The model has no QuantizeLinear or DequantizeLinear: there is nothing to verify, "
        "and TensorRT would run all of it in float.",
        example="onnxq verify model.onnx model.onnx",
        fix="Give the float model first and the Q/DQ model second.",
    ),
    "OQ622": Code(
        meaning="A tensor is quantized to a type that TensorRT does not have, such as int16, or "
        "to uint8, which TensorRT silently takes for int8.",
        example="QuantizeLinear with a uint8 zero point",
        fix="Quantize it to int8 (in onnxruntime's quantizer: `QuantType.QInt8`).",
    ),
    "OQ623": Code(
        meaning="A scale is an input of the model or computed at run time. It crashes the builder "
        "of TensorRT-RTX.",
        example="QuantizeLinear (x, scale) where `scale` is an input",
        fix="Store the scale in the model.",
    ),
}
