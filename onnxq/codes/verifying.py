"""OQ6xx: verify."""

from typing import Final

from onnxq.codes.code import Code

VERIFYING: Final[dict[str, Code]] = {
    "OQ601": Code(
        meaning="A backend is not installed. With a backend that was asked for by name it is an "
        "error, and the exit code is 3.",
        example="onnxq verify model.onnx model.qdq.onnx --backend tensorrt-rtx",
        fix="Install it: `pip install onnxq[rtx]` or `onnxq[trt]`.",
    ),
    "OQ602": Code(
        meaning="The compiler rejected the model or failed while it built the engine. It runs in "
        "a process of its own, so it takes nothing else with it.",
        example="a model with an operator that TensorRT does not have",
        fix="Read the compiler's message; see whether it takes the float model.",
    ),
    "OQ603": Code(
        meaning="The two models do not have the same inputs and outputs, so there is nothing to "
        "compare.",
        example="onnxq verify other.onnx model.qdq.onnx",
        fix="Give the float model that the Q/DQ model was made from.",
    ),
    "OQ604": Code(
        meaning="A threshold of the command line was not met. The exit code is 1.",
        example="onnxq verify model.onnx model.qdq.onnx --data imgs/ --min-sqnr 20",
        fix="Keep the worst layers in float, use another method, or lower the threshold.",
    ),
    "OQ650": Code(
        meaning="Q/DQ models that are compared with each other were calibrated with different "
        "preprocessing, so it is not known how the pictures should become inputs.",
        example="onnxq verify model.onnx a.qdq.onnx b.qdq.onnx --data imgs/",
        fix="Say it with `--preprocess`.",
    ),
    "OQ654": Code(
        meaning="A threshold cannot be read or never be met, or names no output.",
        example="onnxq verify model.onnx model.qdq.onnx --data imgs/ --min-sqnr outptu:25",
        fix="Write `--min-sqnr 25` for every output or `--min-sqnr NAME:25` for one; cosines are "
        "from -1 to 1, and `--min-int8` from 0 to 1.",
    ),
}
