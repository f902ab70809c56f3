"""OQ690 to OQ699: what engines cost."""

from typing import Final

from onnxq.codes.code import Code

_COST: Final = "onnxq verify model.onnx model.qdq.onnx --gpu l4"

COSTS: Final[dict[str, Code]] = {
    "OQ690": Code(
        meaning="`--gpu` names no GPU that onnxq has peaks of, and no file.",
        example="onnxq verify model.onnx model.qdq.onnx --gpu l5",
        fix="Use a name of the list in the message, or a YAML file with `name`, `bandwidth` (in "
        "GB/s), `fp32`, and what else the GPU has of `int8`, `fp8`, `fp16` and `tf32` (dense, in "
        "10^12 operations a second).",
    ),
    "OQ691": Code(
        meaning="The cost of an engine cannot be told: it was not built, or the compiler does not "
        "list all tensors of its kernels with their sizes. TensorRT lists fewer than TensorRT-RTX.",
        example="onnxq verify model.onnx model.qdq.onnx --gpu l4 --backend tensorrt",
        fix="Use `--backend tensorrt-rtx`, and give a shape to every dynamic input.",
    ),
    "OQ692": Code(
        meaning="An op multiplies in FP32, or in half precision in spite of its pairs. Its kernel "
        "reads and writes two to four times the bytes, and multiplies slower. Losses of cost are "
        "sorted by the bytes that they move.",
        example=f"{_COST}    # a Conv has a pair on its weight alone",
        fix="As the message says; `--float fp16` makes what is to stay in float half as large.",
    ),
    "OQ693": Code(
        meaning="A kernel stores one result several times: in INT8 for those that read a pair, and "
        "in float, or in INT8 with another scale, for others.",
        example=f"{_COST}    # a residual Add reads the block's input without its pair",
        fix="Let all readers of the tensor read one pair, with one scale. What they read is then "
        "rounded: look at the accuracy, most of all of a residual in a transformer.",
    ),
    "OQ694": Code(
        meaning="A kernel rounds a value that was rounded before, at another scale, or rounds it "
        "and goes on in float. It costs accuracy and arithmetic, and bytes where the kernel stands "
        "alone.",
        example=f"{_COST}    # the inputs of a Concat have other scales than the pair behind it",
        fix="Give these pairs one scale (`share_scale`), or remove those without use.",
    ),
    "OQ695": Code(
        meaning="TensorRT-RTX pads each group of a Conv to 4 channels in INT8. A depthwise Conv "
        "then moves four times its input as zeros, more than in half precision. TensorRT has INT8 "
        "kernels for some depthwise Convs, which this does not show.",
        example=f"{_COST}    # a MobileNet with pairs on its depthwise Convs",
        fix="Leave the Conv in float by a rule with `skip`, and insert with `--float fp16`.",
    ),
    "OQ696": Code(
        meaning="What is not quantized moves in FP32 between kernels, twice the bytes of FP16. In "
        "a Q/DQ model only `--float fp16` or `bf16` changes that: TensorRT keeps the file's types.",
        example=f"{_COST}    # a detector whose head stays in FP32",
        fix="Insert with `--float fp16`. In such a model the rest stays in FP32 by a rule, such as "
        "those for LayerNorm, or because of its range; a recipe of your own can change that.",
    ),
    "OQ697": Code(
        meaning="Some ops cost more than in the FP16 engine, and none of OQ692 to OQ696 says why.",
        example=f"{_COST}    # a small Conv between many ops in float",
        fix="Leave these ops in float by a rule with `skip`, and insert with `--float fp16`.",
    ),
}
