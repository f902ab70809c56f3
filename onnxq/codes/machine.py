"""OQ801: what the machine lacks."""

from typing import Final

from onnxq.codes.code import Code

MACHINE: Final[dict[str, Code]] = {
    "OQ801": Code(
        meaning="The machine, or a limit that was set for the command, has too little memory, or "
        "lets the command open too few files. Nothing is half-written.",
        example="(ulimit -v 2000000; onnxq sensitivity model.onnx --data imgs/)",
        fix="Close other programs or raise the limit. `calibrate --max-memory` takes less memory "
        "and more time; `ulimit -n 1024` lets it open more files.",
    ),
}
