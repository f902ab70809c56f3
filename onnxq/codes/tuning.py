"""OQ485 to OQ489: tuning a recipe to a goal."""

from typing import Final

from onnxq.codes.code import Code

TUNING: Final[dict[str, Code]] = {
    "OQ485": Code(
        meaning="`tune` has no goal, or goals that exclude each other, or one that lacks what it "
        "is measured with.",
        example="onnxq tune model.onnx --data imgs/ --max-top1-drop 0.5",
        fix="Give one of `--min-sqnr DB`, `--max-top1-drop POINTS` with `--labels FILE`, and "
        "`--min-score X` with `--metric FILE.py:FUNCTION`; `--min-int8 SHARE` may stand beside "
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
}
