"""OQ485 to OQ489: tuning a recipe to a goal."""

from typing import Final

from onnxq.codes.code import Code

TUNING: Final[dict[str, Code]] = {
    "OQ485": Code(
        meaning="`tune` has no goal, or goals that exclude each other, or one that lacks what it "
        "is measured with.",
        example="onnxq tune model.onnx --data imgs/ --max-top1-drop 0.5",
        fix="Give one of `--min-sqnr DB`, `--max-top1-drop POINTS` with `--labels FILE`, "
        "`--min-kept SHARE` with `--detections` and `--min-score X` with "
        "`--metric FILE.py:FUNCTION`; `--min-int8 SHARE` may stand beside "
        "them or alone.",
    ),
    "OQ486": Code(
        meaning="The float model itself does not reach the score that is asked of the quantized "
        "one.",
        example="onnxq tune model.onnx --data imgs/ --metric score.py:map50 --min-score 0.99",
        fix="Lower the goal. If the score is lower than it should be, check the metric, the "
        "samples and the preprocessing.",
    ),
    "OQ487": Code(
        meaning="No recipe that was tried reaches the goal on the samples of the verdict. The one "
        "that comes nearest is written.",
        example="onnxq tune model.onnx --data imgs/ --min-sqnr 60",
        fix="Lower the goal, or `--min-int8`; with more samples the improvers do better.",
    ),
    "OQ488": Code(
        meaning="The goal is reached on the samples of the verdict by less than the standard error "
        "of the figure there: on other samples it may be missed. Where few values have most of an "
        "output's noise, dozens of samples may be too few to tell.",
        example="25.4 dB with a standard error of 1.2 dB, where 25 are asked for",
        fix="Give more samples, of which one in five is for the verdict, or ask for more by the "
        "standard error.",
    ),
}
