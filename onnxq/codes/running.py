"""OQ430 to OQ439: how a calibration runs."""

from typing import Final

from onnxq.codes.code import Code

RUNNING: Final[dict[str, Code]] = {
    "OQ430": Code(
        meaning="onnxruntime does not have the execution provider, or could not start it on this "
        "machine. onnxruntime itself would compute on the CPU without a word.",
        example="onnxq calibrate model.onnx --data imgs/ --provider cuda    # with the CPU package",
        fix="Install the onnxruntime package that has it and what it needs, such as "
        "`onnxruntime-gpu` and CUDA, or leave out `--provider`.",
    ),
    "OQ431": Code(
        meaning="The checkpoint is of another run: the model, an option or the data differs, so "
        "what it holds does not belong to this one. The content of samples that it has is "
        "compared too.",
        example="onnxq calibrate other.onnx --data imgs/ --checkpoint run.ckpt --resume",
        fix="Repeat the command as it was, or remove the checkpoint.",
    ),
    "OQ432": Code(
        meaning="The data were not the same in every pass over them, which `--max-memory` needs: "
        "each pass looks at other tensors.",
        example="a loader that shuffles without a seed, with --max-memory",
        fix="Leave the data as they are; give the loader a seed.",
    ),
    "OQ433": Code(
        meaning="The checkpoint is there already and was not asked for, or it cannot be read.",
        example="onnxq calibrate model.onnx --data imgs/ --checkpoint c  # a second time",
        fix="Continue it with `--resume`, or remove it.",
    ),
    "OQ434": Code(
        meaning="Options of a long run cannot be read or exclude each other.",
        example="onnxq calibrate model.onnx --data imgs/ --shard 9/8",
        fix="Write them as the message says.",
    ),
    "OQ435": Code(
        meaning="`--workers` needs Ray, which is not installed. The exit code is 3.",
        example="onnxq calibrate model.onnx --data imgs/ --workers 4",
        fix="Install it: `pip install 'onnxq[ray]'`, or use `--shard` and `onnxq calib merge`.",
    ),
    "OQ436": Code(
        meaning="Ray cannot be started or reached, or a part of the calibration failed again and "
        "again on its workers.",
        example="onnxq calibrate model.onnx --data imgs/ --workers 4 --cluster nowhere:6379",
        fix="Check the address with `ray status`; use fewer workers when memory is short.",
    ),
    "OQ437": Code(
        meaning="Another run, which has not ended yet, writes this checkpoint. A run that was "
        "killed keeps nobody out.",
        example="onnxq calibrate model.onnx --data imgs/ --checkpoint c  # in two terminals",
        fix="Wait for the other run, or give each its own `--checkpoint`.",
    ),
    "OQ438": Code(
        meaning="Something in the data is not used, and the rest is: a calibration or a "
        "checkpoint of onnxq's own, arrays without a sample, a folder that cannot be read, what is "
        "no file, or the frames of an animation behind its first.",
        example="an animated GIF among the pictures of imgs/",
        fix="Nothing, or take it out of the folder; save frames as pictures of their own.",
    ),
    "OQ439": Code(
        meaning="Arrays of more than 512 MiB have to be held in memory whole: saved inputs as "
        "JSON, or an array that an .npz file holds column by column (Fortran order).",
        example="onnxq calibrate model.onnx --data inputs.json    # 2 GB",
        fix="Save .npz or .npy files, rows first (numpy.ascontiguousarray); they are read bit by "
        "bit.",
    ),
}
