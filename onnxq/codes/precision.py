"""OQ51x: half precision."""

from typing import Final

from onnxq.codes.code import Code

PRECISION: Final[dict[str, Code]] = {
    "OQ510": Code(
        meaning="With `--float fp16`, an activation of the calibration or a constant of the model "
        "has values beyond the range of half precision, which is 65504 in FP16. The ops that "
        "compute or read it stay in FP32, with a Cast on either side.",
        example="a Mul with the constant -3.4e38, as of an attention mask",
        fix="Nothing needs to be done. A rule with `keep_fp32: true` for these ops decides the "
        "same without the warning; `keep_fp32: false` computes them in half precision anyway.",
    ),
    "OQ511": Code(
        meaning="With `--float fp16`, all values of an activation or a constant are so small that "
        "half precision loses bits of them or rounds them to zero: FP16 has full precision from "
        "6.1e-5. The ops that compute or read it stay in FP32.",
        example="a Clip with a minimum of 1e-12 in front of a Div",
        fix="As for OQ510: a rule with `keep_fp32`, true or false, decides it.",
    ),
    "OQ512": Code(
        meaning="onnxruntime has no kernels for bfloat16 on the CPU, so a model of `--float bf16` "
        "cannot be compared numerically. Lint and the compiler still check it.",
        example="onnxq verify model.onnx model.qdq.onnx --data imgs/    # of --float bf16",
        fix="Compare the same model with `--float fp32`, which has the same scales except for "
        "their rounding, or measure the engine on a GPU.",
    ),
    "OQ513": Code(
        meaning="Half precision was chosen without a calibration, which a recipe for weights "
        "alone permits. Only the rules and the constants of the model then decide which ops stay "
        "in FP32: an activation above 65504, the limit of FP16, is not detected.",
        example="onnxq insert model.onnx --rules trt-int4-weights --float fp16",
        fix="Run `onnxq calibrate` first, or compare outputs with `onnxq verify` on real samples.",
    ),
    "OQ514": Code(
        meaning="The calibration does not have the ranges of some tensors that compute in half "
        "precision. The other tensors and the weights do not bound these ranges either, so values "
        "may exceed 65504, the limit of FP16, and become infinite.",
        example="a calibration that was made without `--float fp16`, in parts, or imported from a "
        "TensorRT cache",
        fix="Calibrate with `--float fp16`, which observes these tensors too, or write a rule with "
        "`keep_fp32: true` for the ops; `keep_fp32: false` says that they fit.",
    ),
}
