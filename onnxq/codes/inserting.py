"""OQ515 to OQ519: scales that a recipe fixes, and the file that is written."""

from typing import Final

from onnxq.codes.code import Code

INSERTING: Final[dict[str, Code]] = {
    "OQ515": Code(
        meaning="The opset that was asked for lacks what the file will have, such as Q/DQ with one "
        "scale per channel (13), FP8 or 16-bit scales (19), INT4 (21), convolutions in bfloat16 "
        "(22); or it is newer than 25, the newest that TensorRT takes.",
        example="onnxq insert --rules trt-fp8 --opset 17",
        fix="Give the opset that the message names, or leave `--opset` out: the model is then "
        "raised to the first that the pairs need.",
    ),
    "OQ516": Code(
        meaning="The model has a newer opset than the one that was asked for. `--opset` raises a "
        "model and never lowers it, so the file keeps the opset of the model.",
        example="onnxq insert model.onnx --opset 17    # of a model of opset 18",
        fix="If the program that reads the file needs the older opset, export the model again with "
        "it; else leave `--opset` out.",
    ),
    "OQ517": Code(
        meaning="A descriptor fixes the range of a tensor with `amax`, and the tensor has larger "
        "magnitudes: in the calibration, or in the model if it is a weight. They are clipped to "
        "the range. How many values of an activation are clipped is known only with a histogram.",
        example="quantize: {inputs: {amax: 6.0}}    # of a tensor that reaches 9.3",
        fix="Do nothing if the clipping is meant, as in quantization-aware training. "
        "Else give a larger `amax`, or a `method`, which reads the range from the calibration.",
    ),
    "OQ518": Code(
        meaning="A rule with `prefer_half` matches ops, and the float rest of the model is FP32. "
        "The shipped one matches attention for which TensorRT has no INT8 kernel: of more than 512 "
        "keys, or with heads of another size than 16, 32 and 64. In INT8 all scores are then "
        "stored, in FP32 more so, and in FP16 one kernel computes all of it.",
        example="onnxq insert    # of a ViT for pictures of 384 pixels, which has 577 tokens",
        fix="Use `--float fp16`. The ops then have no pairs, and compute in FP16 as all others "
        "without pairs. A rule of yours with `prefer_half: false` keeps their pairs.",
    ),
}
