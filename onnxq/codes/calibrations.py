"""OQ440 to OQ459: calibration files, merging and showing them, TensorRT calibration caches."""

from typing import Final

from onnxq.codes.code import Code

CALIBRATIONS: Final[dict[str, Code]] = {
    "OQ440": Code(
        meaning="The calibration file was written by a newer onnxq, in a format that this one does "
        "not know.",
        example="onnxq insert model.onnx --calibration from-a-newer-onnxq.calib.npz",
        fix="Update onnxq, or calibrate again with this one.",
    ),
}
