"""OQ701 to OQ719: Q/DQ models in torch, and training."""

from typing import Final

from onnxq.codes.code import Code

TRAINING: Final[dict[str, Code]] = {
    "OQ701": Code(
        meaning="Training needs torch, which is not installed.",
        example="onnxq train model.qdq.onnx --teacher model.onnx --data imgs/",
        fix="`pip install 'onnxq[torch]'`.",
    ),
    "OQ702": Code(
        meaning="A node of the model cannot be computed by torch: onnxq has no row for its "
        "operator, or the row lacks an attribute of it, or the node is in a body of If, Loop or "
        "Scan.",
        example="onnxq train model-with-loop.qdq.onnx --teacher model-with-loop.onnx --data imgs/",
        fix="`onnxq.torch.supported()` lists the operators. Cut the model in front of the node "
        "and train what is before it.",
    ),
    "OQ703": Code(
        meaning="A Q or DQ is no pair that torch can train: its scale or zero point is computed, "
        "there are several zero points, the scales of a Q and its DQ differ, or nothing quantizes "
        "what a DQ reads.",
        example="onnxq train odd-scales.qdq.onnx --teacher model.onnx --data imgs/",
        fix="`onnxq lint --fix` repairs some of these; else quantize the float model with onnxq.",
    ),
    "OQ704": Code(
        meaning="`load_calib_amax` was called on a quantizer that counted no finite value.",
        example="onnxq.torch.load('model.qdq.onnx').load_calib_amax()",
        fix="Call `enable_calib()`, run samples through the module, then `load_calib_amax()`.",
    ),
    "OQ705": Code(
        meaning="A quantizer with several scales, such as that of a weight, was to choose its amax "
        "by another method than `max`.",
        example="module.quantizers['conv1.weight'].load_calib_amax('entropy')",
        fix="Use `max` there, which is the default.",
    ),
    "OQ706": Code(
        meaning="A module was called with other inputs than those of its model.",
        example="module(pictures, masks)",
        fix="Give each input once, in the order of `module.inputs` or by name.",
    ),
    "OQ707": Code(
        meaning="A module cannot be written into this file: it was loaded from another model, or "
        "the file has an opset below 13 or local functions, so that constants got other names "
        "when it was loaded.",
        example="onnxq.torch.save(module, 'other.qdq.onnx', 'trained.onnx')",
        fix="Give the file that the module was loaded from. A file with local functions or an old "
        "opset: write `onnxq.load(file, existing='keep').proto` to a file first, and load that.",
    ),
    "OQ708": Code(
        meaning="A module has a weight or an amax that is not finite, or an amax that is not above "
        "zero: no model with it would be of use. Nothing was written.",
        example="onnxq.torch.save(module, 'model.qdq.onnx', 'trained.onnx')",
        fix="Train with a lower rate, from the last good state.",
    ),
    "OQ710": Code(
        meaning="An option of training is a number that makes no sense, such as 0 epochs.",
        example="onnxq train model.qdq.onnx --teacher model.onnx --data imgs/ --epochs 0",
        fix="Give 1 or more; a `--rate` above 0.",
    ),
    "OQ711": Code(
        meaning="The loss of `--loss` cannot be used: the file is missing, raises an error, or has "
        "no such function, or the function gives no number that torch can differentiate.",
        example="onnxq train model.qdq.onnx --teacher model.onnx --data imgs/ --loss bad.py",
        fix="Define `compute(outputs, teacher, inputs)` in it: mappings of names to torch tensors "
        "of a batch; it returns a tensor with one value, and lower is better.",
    ),
    "OQ712": Code(
        meaning="The model and its teacher have other inputs or outputs.",
        example="onnxq train model.qdq.onnx --teacher another.onnx --data imgs/",
        fix="Give the float model that the Q/DQ model was made from.",
    ),
    "OQ713": Code(
        meaning="No epoch of a training was better on the samples held out than the model as it "
        "was, so that the model is written as it was.",
        example="onnxq train model.qdq.onnx --teacher model.onnx --data six-pictures/",
        fix="Give more samples, 128 and more; train longer, or with another `--rate`.",
    ),
    "OQ714": Code(
        meaning="Nothing in the model can learn: it has no pairs.",
        example="onnxq train model.onnx --teacher model.onnx --data imgs/ --learn amax",
        fix="Give a Q/DQ model, such as `onnxq insert` writes.",
    ),
    "OQ715": Code(
        meaning="A loss was NaN or infinite. Training ended there, and the model has the numbers "
        "of the best epoch before.",
        example="onnxq train model.qdq.onnx --teacher model.onnx --data imgs/ --rate 1000",
        fix="Train with a lower `--rate`.",
    ),
}
