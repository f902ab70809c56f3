"""OQ515 to OQ519: scales that a recipe fixes, and the file that is written."""

from typing import Final

from onnxq.codes.code import Code

INSERTING: Final[dict[str, Code]] = {
    "OQ517": Code(
        meaning="A descriptor fixes the range of a tensor with `amax`, and the tensor has larger "
        "magnitudes: in the calibration, or in the model if it is a weight. They are clipped to "
        "the range. The share of the values of an activation is known with a histogram.",
        example="quantize: {inputs: {amax: 6.0}}    # of a tensor that reaches 9.3",
        fix="Nothing needs to be done if clipping is meant, as in quantization-aware training. "
        "Else give a larger `amax`, or a `method`, which reads the range from the calibration.",
    ),
}
