"""OQ470 to OQ489: improving the numbers of a model, and what its pairs cost."""

from typing import Final

from onnxq.codes.code import Code

IMPROVING: Final[dict[str, Code]] = {
    "OQ470": Code(
        meaning="No improver has the name that was to be left out.",
        example="onnxq improve model.onnx --data imgs/ --without equalise",
        fix="Correct the name; the message lists those that there are.",
    ),
    "OQ471": Code(
        meaning="There are too few samples to improve a model: some are to fit on, others judge "
        "whether that helped. A batch of the data is one sample here.",
        example="onnxq improve model.onnx --data one-picture/",
        fix="Give at least 4 samples, or better 32 and more; make the batch smaller.",
    ),
    "OQ472": Code(
        meaning="What was fitted may not hold for other data, because there were few samples or "
        "detections, or some of the samples were left out, because together they take more than "
        "1 GiB of memory.",
        example="onnxq improve model.onnx --data twelve-pictures/",
        fix="Give 32 samples or more; where they are large, choose some of them with `--samples`.",
    ),
    "OQ473": Code(
        meaning="The file of an improvement does not exist.",
        example="onnxq insert model.onnx --improvement missing.improved.npz",
        fix="Make it with `onnxq improve`, or correct the path.",
    ),
    "OQ474": Code(
        meaning="The file is not an improvement, or was damaged or changed since it was written.",
        example="onnxq insert model.onnx --improvement model.calib.npz",
        fix="Make it again with `onnxq improve`.",
    ),
    "OQ475": Code(
        meaning="The loss of `--loss` cannot be used: the file is missing, raises an error, or has "
        "no function `loss`, or the function gives no number.",
        example="onnxq improve model.onnx --data imgs/ --loss without-a-function.py",
        fix="Define `loss(float_outputs, outputs)` in it: both arguments are mappings of output "
        "names to arrays, the result is a number, and lower is better.",
    ),
    "OQ476": Code(
        meaning="The improvement was made for another model, plan or calibration: its numbers fit "
        "only the pairs that it was made with; or one of these pairs is missing.",
        example="onnxq insert model.onnx --rules other.yaml --improvement model.improved.npz",
        fix="Insert with the recipe that it was made with, or improve the model again.",
    ),
    "OQ477": Code(
        meaning="All outputs of the model are whole numbers, such as classes or places: they say "
        "too little of how close the Q/DQ model is.",
        example="onnxq improve classifier-with-argmax.onnx --data imgs/",
        fix="Let the model give out what they are made of, such as the scores, beside them.",
    ),
    "OQ480": Code(
        meaning="Pairs cannot be ranked by gradients: torch is not installed, onnxq has no "
        "gradient of an operator, or gradients of a sample take more than 4 GiB. Pairs are "
        "switched on one at a time instead, on more samples where they bring more noise.",
        example="onnxq sensitivity model-with-loop.onnx --data imgs/",
        fix="Nothing needs mending: it takes longer, and small figures are less sure. Where torch "
        "is missing, `pip install 'onnxq[torch]'`.",
    ),
    "OQ481": Code(
        meaning="Noise has no figure in an output, or a part of one: it has no finite value but 0 "
        "in any sample, so that there is no signal to measure noise against; it holds whole "
        "numbers; or its shape changes with the pairs. Without any other output there is nothing "
        "to rank by.",
        example="onnxq sensitivity detector.onnx --data empty-scenes/",
        fix="Give data on which the model gives something out, or let it give out what stands "
        "before its last ops. A part that is rightly 0 needs nothing.",
    ),
}
