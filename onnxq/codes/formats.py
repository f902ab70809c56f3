"""OQ55x: the types that rules quantize to, against the model."""

from typing import Final

from onnxq.codes.code import Code

FORMATS: Final[dict[str, Code]] = {
    "OQ550": Code(
        meaning="The two operands of a Conv, Gemm or MatMul would be quantized to different "
        "types. TensorRT does not build INT8 times FP8. With INT4 weights it computes in float, "
        "so a pair on the activation costs accuracy, and makes the build of some products fail.",
        example="quantize: {inputs: {dtype: int8}, weights: {dtype: fp8e4m3}}",
        fix="Give both the same `dtype`; with INT4 weights use `skip: inputs`. Different ops may "
        "have different types.",
    ),
    "OQ551": Code(
        meaning="The size of a weight along the axis of its INT4 blocks, which is the axis that "
        "the product sums over, is not a multiple of the block size. The weight stays in float.",
        example="{match: {op: MatMul}, quantize: {weights: {dtype: int4, granularity: per_block, "
        "block_size: 128}}}    # a weight of 200 x 64",
        fix="Use a smaller `block_size` for this weight, 64 or 32, or skip it.",
    ),
}
