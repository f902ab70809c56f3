"""OQ609 to OQ649: lint."""

from typing import Final

from onnxq.codes.code import Code

LINTING: Final[dict[str, Code]] = {
    "OQ609": Code(
        meaning="TensorRT has no such op. It rejects a model with an op of onnxruntime or of "
        "another runtime, or with an ONNX op that it does not import. It takes any other op for a "
        "plugin of that name, which must be in a plugin library. It ignores domains: it takes an "
        "op of onnxruntime's blocked layouts for the ONNX op of the same name, and computes other "
        "values.",
        example="com.microsoft::SkipLayerNormalization, or EfficientNMS_TRT",
        fix="Export the model again without optimizations for onnxruntime; for a plugin that is "
        "not TensorRT's own, give its library to TensorRT and to `verify --plugin`.",
    ),
    "OQ610": Code(
        meaning="A zero point is missing or not zero. Without one ONNX assumes uint8 and TensorRT "
        "int8, so they compute different values.",
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
        "silently run the op in float.",
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
        meaning="An activation is quantized per channel. TensorRT would silently run the op in "
        "float.",
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
        meaning="An op other than a DequantizeLinear reads a quantized constant; or a Concat joins "
        "a quantized constant with an activation, and the DequantizeLinear of the constant is the "
        "first Q/DQ node of the file. TensorRT rejects the model.",
        example="an int8 weight, then a Transpose, then the DequantizeLinear",
        fix="Put the DequantizeLinear directly behind the constant.",
    ),
    "OQ619": Code(
        meaning="Nodes have no name or share one. TensorRT would merge them in its reports, which "
        "then do not show which of the nodes runs in float.",
        example="an exporter that names no nodes",
        fix="Give every node a name of its own; `onnxq insert` does that.",
    ),
    "OQ620": Code(
        meaning="The Q/DQ nodes use features of a newer opset than the model has, such as `axis` "
        "before opset 13.",
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
        "to uint8, which TensorRT silently reads as int8.",
        example="QuantizeLinear with a uint8 zero point",
        fix="Quantize it to int8 (in onnxruntime's quantizer: `QuantType.QInt8`).",
    ),
    "OQ623": Code(
        meaning="A scale is an input of the model or computed at run time. It crashes the builder "
        "of TensorRT-RTX.",
        example="QuantizeLinear (x, scale) where `scale` is an input",
        fix="Store the scale in the model.",
    ),
    "OQ624": Code(
        meaning="The model computes with an operator that TensorRT cannot import: QLinearConv, "
        "ConvInteger, DynamicQuantizeLinear and the like, or one of onnxruntime's own.",
        example="a model from onnxruntime's quantize_dynamic",
        fix="Quantize the float model with Q/DQ nodes.",
    ),
    "OQ625": Code(
        meaning="A pair stands only in front of an op that TensorRT does not move it across, such "
        "as an activation, an average pool, a Resize, or a Pad with a value other than zero. The "
        "weighted op behind it runs in float.",
        example="QuantizeLinear, DequantizeLinear, Relu, Conv",
        fix="Put a pair directly in front of the weighted op.",
    ),
    "OQ626": Code(
        meaning="A weighted op reads a Concat, Max, Min or Where whose inputs have unequal scales, "
        "with no pair behind it. TensorRT silently runs the weighted op in float.",
        example="scales 0.1 and 0.2 in front of a Concat, a Conv behind it",
        fix="Give these inputs one scale, or put a pair behind the op that joins them.",
    ),
    "OQ627": Code(
        meaning="A MaxPool has a pair in front of it and several readers, and not all of these "
        "read a pair. It runs in float, between two conversions.",
        example="the chain of pools of an SPPF with pairs in front of the pools only",
        fix="Quantize its output with the same scale, or put pairs only behind it.",
    ),
    "OQ628": Code(
        meaning="A residual Add reads its skip tensor in float, and other ops read the same "
        "tensor in int8: TensorRT stores it twice.",
        example="a ResNet block with pairs in front of the Convs only",
        fix="Let the Add read the same pair as the others; `share_scale` and `quantize` in "
        "a recipe do that.",
    ),
    "OQ629": Code(
        meaning="A pair stands right behind another. With equal scales it does nothing, with "
        "unequal ones it rounds twice.",
        example="DequantizeLinear, QuantizeLinear, DequantizeLinear",
        fix="Remove one of the two pairs.",
    ),
    "OQ630": Code(
        meaning="One tensor is quantized with several scales. TensorRT stores it once for each.",
        example="two Convs read one tensor through pairs of unequal scales",
        fix="Let all its readers share one pair.",
    ),
    "OQ631": Code(
        meaning="A pair stands between a weighted op and the activation or normalization behind"
        " it, which keeps TensorRT from computing both in one kernel without rounding "
        "in between.",
        example="Conv, QuantizeLinear, DequantizeLinear, Sigmoid",
        fix="Put the pair behind the activation.",
    ),
    "OQ632": Code(
        meaning="There are Q/DQ nodes in local functions, or in subgraphs of other operators than "
        "If, Loop and Scan. Lint does not check them.",
        example="a function that quantizes its input",
        fix="Inline the functions or subgraphs.",
    ),
    "OQ633": Code(
        meaning="A weighted op reads different float types. In TensorRT the result of a "
        "DequantizeLinear has the type of its scale, and float16 beside float32 is rejected.",
        example="float16 scales of an activation and float32 scales of a weight",
        fix="Give the scales of all pairs of an op, and its bias, one type.",
    ),
    "OQ634": Code(
        meaning="The operands of a weighted op are quantized to different types, such as int8 "
        "and FP8. TensorRT rejects most of these. In matrix products it accepts INT4 weights "
        "beside int8 activations, and converts them to int8 at every inference.",
        example="int8 activations and FP8 weights",
        fix="Quantize all operands of an op to one type.",
    ),
    "OQ635": Code(
        meaning="All values of a weight are zero, or the scale of an activation is so small that "
        "it was zero on all calibration data.",
        example="an activation whose scale is 1e-30",
        fix="Calibrate on data that the model is made for.",
    ),
    "OQ636": Code(
        meaning="An op has weights in INT4 or in blocks, and float activations. It needs less "
        "memory, but computes in float.",
        example="DequantizeLinear <block_size = 32> in front of a MatMul",
        fix="Nothing, if a smaller model is what you want.",
    ),
    "OQ637": Code(
        meaning="An activation is quantized to INT4, which TensorRT has for weights only.",
        example="QuantizeLinear of an activation with an int4 zero point",
        fix="Quantize the activation to int8.",
    ),
    "OQ638": Code(
        meaning="An op has all the pairs that TensorRT documents for it, but TensorRT-RTX runs it "
        "in float: ConvTranspose and average pools.",
        example="ConvTranspose with pairs on its activation and its weight",
        fix="Nothing, for TensorRT. For TensorRT-RTX you may leave it in float.",
    ),
    "OQ639": Code(
        meaning="`onnxq lint --fix` needs an output file, as it never changes its input, and `-o` "
        "has no meaning without `--fix`.",
        example="onnxq lint model.qdq.onnx --fix",
        fix="Give both.",
    ),
    "OQ640": Code(
        meaning="The engine computes an op in another precision than lint expected. The rules of "
        "lint come from builds of TensorRT-RTX for its usual targets; other targets can differ.",
        example="onnxq verify model.onnx model.qdq.onnx --target sm75    # it has no int8 Conv",
        fix="Rely on the engine that was built.",
    ),
    "OQ641": Code(
        meaning="A weight is quantized in blocks that TensorRT-RTX does not support. It rejects "
        "blocks on other axes than the last two, and crashes on INT4 blocks on the left of a "
        "product. Beside a quantized activation it multiplies all blocks with the scales of the "
        "first one, so that the values are silently wrong.",
        example="an int8 activation and a weight with <block_size = 32> in front of a MatMul",
        fix="Give the weight one scale a channel, or leave the activation in float.",
    ),
    "OQ642": Code(
        meaning="The result of a matrix product is cut into parts that are only moved before the "
        "next pair, such as queries, keys and values of one product. TensorRT-RTX then cuts the "
        "weights into the same parts, for which it dequantizes them: the product silently runs in "
        "float. It does so for three parts of one size that become heads behind the cut, and "
        "for parts that a Transpose put behind each other.",
        example="Split(MatMul(xd, wd)) into three, each with Reshape, Transpose and a pair",
        fix="Put a pair on the result, in front of the cut; the shipped recipes have a rule.",
    ),
    "OQ643": Code(
        meaning="A Conv is quantized to FP8 and has filters of more than 32 taps, such as 7x7. "
        "TensorRT-RTX silently runs it in float.",
        example="a 7x7 stem or a 16x16 patch embedding behind FP8 pairs",
        fix="Leave it in float, as the recipe `trt-fp8` does, or quantize it to int8, which has no "
        "such limit.",
    ),
}
