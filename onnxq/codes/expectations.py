"""OQ460 to OQ463: inputs that are certainly not what the model expects."""

from typing import Final

from onnxq.codes.code import Code

EXPECTATIONS: Final[dict[str, Code]] = {
    "OQ460": Code(
        meaning="The values that enter the model are far too small or far too large for its first "
        "convolution, so they are hardly those that it was trained on: 0 to 1 where it expects 0 "
        "to 255, or the reverse. Its biases, the normalization or the limited activation behind "
        "it, or a division by 255 in the model tell. A smaller mistake, such as another mean, "
        "cannot be seen.",
        example="onnxq calibrate yolox.onnx --data imgs/ --preprocess yolo    # YOLOX takes 0..255",
        fix="Preprocess as in training: `--preprocess` with a name or a YAML file, or other "
        "arrays. Every figure is wrong otherwise, and the scales are useless.",
    ),
    "OQ461": Code(
        meaning="The metadata of the model have the keys that the export of Ultralytics writes. "
        "Such models take RGB from 0 to 1, and the data is something else.",
        example="onnxq calibrate yolov8n.onnx --data imgs/ --preprocess yolox",
        fix="Give `--preprocess yolo`, which is the default, or arrays from 0 to 1.",
    ),
    "OQ462": Code(
        meaning="The model is a classifier by its output, and pictures are preprocessed by the "
        "default, which is for YOLO: 0 to 1, with grey borders. Classifiers are usually trained on "
        "the centre of the picture, with the mean and standard deviation of ImageNet.",
        example="onnxq quantize resnet50.onnx --data imgs/",
        fix="Give `--preprocess imagenet`, or a YAML file for another way; any `--preprocess` "
        "ends the warning.",
    ),
    "OQ463": Code(
        meaning="An input has one and the same value everywhere in all samples, or all samples are "
        "the same. The ranges are then those of one picture, or of none.",
        example="a loader that yields np.zeros, or the same file again and again",
        fix="Correct the data, or the code that makes it.",
    ),
}
