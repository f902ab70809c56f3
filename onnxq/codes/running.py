"""OQ430 to OQ439: how a calibration runs."""

from typing import Final

from onnxq.codes.code import Code

RUNNING: Final[dict[str, Code]] = {
    "OQ430": Code(
        meaning="onnxruntime does not have the execution provider, or could not start it on this "
        "machine. onnxruntime itself would silently compute on the CPU.",
        example="onnxq calibrate model.onnx --data imgs/ --provider cuda    # with the CPU package",
        fix="Install the onnxruntime package that has it and what it needs, such as "
        "`onnxruntime-gpu` and CUDA, or leave out `--provider`.",
    ),
    "OQ431": Code(
        meaning="The checkpoint belongs to another run: the model, an option or the data differs. "
        "The content of the samples it includes is compared too.",
        example="onnxq calibrate other.onnx --data imgs/ --checkpoint run.ckpt --resume",
        fix="Repeat the command as it was, or remove the checkpoint.",
    ),
    "OQ432": Code(
        meaning="The data was not the same in every pass over it. `--max-memory` makes several "
        "passes, each for other tensors.",
        example="a loader that shuffles without a seed, with --max-memory",
        fix="Leave the files alone during the run; give the loader a seed.",
    ),
    "OQ433": Code(
        meaning="The checkpoint exists already and was not to be resumed, or it cannot be read.",
        example="onnxq calibrate model.onnx --data imgs/ --checkpoint c  # a second time",
        fix="Continue it with `--resume`, or remove it.",
    ),
    "OQ434": Code(
        meaning="Options of a long run cannot be read or exclude each other, or checkpoints or "
        "workers were asked for with data in memory, which other processes cannot read.",
        example="onnxq calibrate model.onnx --data imgs/ --shard 9/8",
        fix="Write the options as the message says; save data in memory to .npz files.",
    ),
    "OQ435": Code(
        meaning="`--workers` needs Ray, which is not installed. The exit code is 3.",
        example="onnxq calibrate model.onnx --data imgs/ --workers 4",
        fix="Install it: `pip install 'onnxq[ray]'`, or use `--shard` and `onnxq calib merge`.",
    ),
    "OQ436": Code(
        meaning="Ray cannot be started or reached, or a part of the calibration failed repeatedly "
        "on its workers.",
        example="onnxq calibrate model.onnx --data imgs/ --workers 4 --cluster nowhere:6379",
        fix="Check the address with `ray status`; use fewer workers when memory is short.",
    ),
    "OQ437": Code(
        meaning="Another run that has not ended yet uses this checkpoint. A run that was killed "
        "does not block it.",
        example="onnxq calibrate model.onnx --data imgs/ --checkpoint c  # in two terminals",
        fix="Wait for the other run, or give each its own `--checkpoint`.",
    ),
    "OQ438": Code(
        meaning="A part of the data is not used: a calibration or a checkpoint that onnxq wrote, "
        "arrays without a sample, a folder that cannot be read, a special file, or the frames of "
        "an animation after its first.",
        example="an animated GIF among the pictures of imgs/",
        fix="Nothing, or remove it from the folder; save frames as separate pictures.",
    ),
    "OQ439": Code(
        meaning="More than 512 MiB of arrays must be held in memory: saved inputs as JSON, or an "
        "array in Fortran order in an .npz file.",
        example="onnxq calibrate model.onnx --data inputs.json    # 2 GB",
        fix="Save .npz or .npy files in C order (numpy.ascontiguousarray), which are read sample "
        "by sample.",
    ),
}
