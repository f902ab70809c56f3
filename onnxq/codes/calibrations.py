"""OQ440 to OQ459: calibration, its files, TensorRT calibration caches."""

from typing import Final

from onnxq.codes.code import Code

CALIBRATIONS: Final[dict[str, Code]] = {
    "OQ440": Code(
        meaning="The file of a calibration or an improvement was written by a newer onnxq, in a "
        "format that this one does not know.",
        example="onnxq insert model.onnx --calibration from-a-newer-onnxq.calib.npz",
        fix="Update onnxq, or make the file again with this one.",
    ),
    "OQ441": Code(
        meaning="Two of the calibrations to merge hold the same data, or one holds what the others "
        "hold together. Counting data twice would change percentiles unnoticed. It is a warning "
        "where they have only some samples in common.",
        example="onnxq calib merge a.npz b.npz a-and-b.npz -o all.npz",
        fix="Leave out the file that the message names.",
    ),
    "OQ442": Code(
        meaning="Tensors were observed in some of the merged calibrations and not in others, so "
        "their ranges come from a part of the data.",
        example="onnxq calib merge plain.npz made-with-rules.npz -o all.npz",
        fix="Calibrate all parts with the same `--rules`, or all with none.",
    ),
    "OQ443": Code(
        meaning="The calibration did not observe the tensor that was asked for, or the percentile "
        "is out of range.",
        example="onnxq calib show model.calib.npz --tensor /model.0/conf/Conv_output_0",
        fix="Give a name or a glob that `onnxq calib show` lists; a percentile is in (0, 100].",
    ),
    "OQ445": Code(
        meaning="A file that saves time could not be written: onnxruntime's optimized model in the "
        "temporary folder, or the counting code that numba compiled. Calibration takes longer; "
        "its result is the same.",
        example="TMPDIR=/full onnxq calibrate model.onnx --data imgs/    # on a full disk",
        fix="Free some space in the temporary folder, or name another one in `TMPDIR`; name a "
        "folder for numba in `NUMBA_CACHE_DIR`.",
    ),
    "OQ457": Code(
        meaning="A rule gives several tensors one scale as far as their ranges allow it "
        "(`share_scale` with `within`), and the range of this one is smaller than the limit "
        "permits: the scale of the group would leave it few steps. It has a scale of "
        "its own for all ops but the one where the rule ties it. TensorRT then stores the tensor "
        "once more, in INT8 or in float; every product stays in INT8.",
        example="features up to 1 and a flow up to 100 that meet in a Concat",
        fix="Do nothing, or write a later rule for the op with another limit, "
        "`share_scale: {ports: [inputs, outputs], within: 16}`, or none: `share_scale: [inputs, "
        "outputs]`.",
    ),
    "OQ458": Code(
        meaning="A rule gives several tensors one scale whatever their ranges, and the range of "
        "this one is so much smaller that only few of the 127 steps are left for it. The ops that "
        "read it lose 6 dB for every factor of two.",
        example="share_scale: [inputs, outputs]    # at a Concat of features and a flow",
        fix="Limit the tie: `share_scale: {ports: [inputs, outputs], within: 3}`, or take it back "
        "at this op with a later rule: `share_scale: []`.",
    ),
    "OQ450": Code(
        meaning="A file is not a TensorRT calibration cache, or a line of it cannot be read. A "
        "cache is text: first a line such as TRT-8601-EntropyCalibration2, then `name: hex` lines.",
        example="onnxq cache import model.engine --model model.onnx",
        fix="Give the file that TensorRT's calibrator wrote, or copy it again.",
    ),
    "OQ451": Code(
        meaning="A scale of a calibration cache is zero, negative, infinite, NaN, or so large that "
        "its range is infinite. TensorRT has written infinite ones (NVIDIA/TensorRT#672).",
        example="conv_out: 7f800000    # infinity",
        fix="Delete the line, and skip that tensor in the recipe or calibrate with data.",
    ),
    "OQ452": Code(
        meaning="Names of a calibration cache are not tensors of the model, so their scales are "
        "not used. TensorRT names the tensors between layers that it makes itself.",
        example="(Unnamed Layer* 12) [Convolution]_output: 3acc6b2e",
        fix="Nothing, if TensorRT made these tensors; else give the model that it calibrated.",
    ),
    "OQ453": Code(
        meaning="Tensors that recipes could quantize have no entry in the imported cache.",
        example="onnxq cache import calib.cache --model model-with-another-head.onnx",
        fix="Skip these tensors in the recipe, or calibrate with data. `insert` refuses a recipe "
        "that quantizes one of them (OQ413).",
    ),
    "OQ454": Code(
        meaning="The cache and the model have no tensor name in common.",
        example="onnxq cache import other-network.cache --model model.onnx",
        fix="Give the model that TensorRT calibrated. A new export often has new names.",
    ),
    "OQ455": Code(
        meaning="A calibration cache has one line with one INT8 scale per tensor. It cannot hold "
        "two scales for the readers of one tensor, a name with a line break, or another type.",
        example="a recipe that reads one tensor by `max` for a Conv and by `mse` for an Add",
        fix="Give the readers one descriptor, or export with `--method`.",
    ),
    "OQ456": Code(
        meaning="An option of `cache export` cannot be read: TensorRT has no such version with "
        "calibration, or there is no such method.",
        example="onnxq cache export model.calib.npz --tensorrt 11",
        fix="Give a version from 5 to 10, such as 10.3.0; methods are max, mse, entropy, "
        "adaptive and percentile(99.99).",
    ),
}
