"""OQ490 to OQ494: metrics of the user."""

from typing import Final

from onnxq.codes.code import Code

METRICS: Final[dict[str, Code]] = {
    "OQ490": Code(
        meaning="The metric cannot be used: the Python file is missing, raises an error when it is "
        "imported, or has no such function, or the function takes other arguments.",
        example="onnxq tune model.onnx --data imgs/ --metric score.py:map5",
        fix="Name a file and its function, `score.py:map50`; without a name the function is "
        "`metric`. It takes `(outputs, sample)`, or `(runner)` for one number of all samples.",
    ),
    "OQ491": Code(
        meaning="The metric raised an exception, in its own process. The message has the line, the "
        "sample and what was printed last.",
        example="truth[sample.name]    # a KeyError for a picture without a label",
        fix="Correct the function. It works in the folder where onnxq was started.",
    ),
    "OQ492": Code(
        meaning="The metric gave NaN, infinity, None, a text, an array, or something else that is "
        "not one finite number. A number of numpy or torch without dimensions is one.",
        example="return hits / detections    # numpy's 0 / 0 where nothing was detected",
        fix="Return one number for every sample. Decide there what a sample without truth or "
        "without detections counts, or take all samples at once: `metric(runner)`.",
    ),
    "OQ493": Code(
        meaning="The import of the metric's file, or the metric on one sample, took longer than "
        "the limit. The process was ended; the message has the line where it was.",
        example="while queue: ...    # that never gets empty",
        fix="Make it end, make it faster, or raise the limit.",
    ),
    "OQ494": Code(
        meaning="The process of the metric was lost: a library crashed in it, the system ended it "
        "for its memory, the function left it, or the temporary folder is full, through which "
        "arrays are passed to it. onnxq and its files are not affected.",
        example="os._exit(1)    # in the function",
        fix="Correct the line in the message, if there is one; try the function alone with the "
        "outputs of one sample.",
    ),
}
