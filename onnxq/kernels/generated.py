"""What a generated kernel computes, as far as its name shows.

The name lists the operations in order, four letters each, such as `__myl_MulMinMaxRounCast_myl0_4`;
long names end in `Etc`. The meaning was determined from builds with TensorRT-RTX 1.7.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

_NAME: Final = re.compile(r"__myl_((?:[A-Z][a-z0-9]{1,3})+)_myl\d+_\d+")
_OPERATION: Final = re.compile(r"[A-Z][a-z0-9]{1,3}")
CUT: Final = "Etc"
MOVES: Final = frozenset({"Move", "Resh", "Tran", "Slic", "Conc"})


def operations(name: str) -> tuple[str, ...] | None:
    """The operations in the name of a generated kernel; None for any other name."""
    match = _NAME.fullmatch(name)
    return None if match is None else tuple(_OPERATION.findall(match[1]))


def product_type(
    name: str, inputs: Sequence[str], constants: Sequence[str]
) -> Literal["int8", "float", ""]:
    """How a generated kernel that reads these types multiplies; '' where the name does not show it.

    A convolution right behind a rounding, or first of all on an Int8 input, multiplies integers if
    the weights are Int8 too. A sum of products behind a Cast and a Mul, which dequantize, is a sum
    of floats.
    """
    steps = [step for step in operations(name) or () if step not in MOVES]
    if "Corr" in steps:
        before = steps[: steps.index("Corr")]
        rounded = before[-2:] == ["Roun", "Cast"] or (not before and "Int8" in inputs)
        return "int8" if rounded and "Int8" in constants else ""
    text = " ".join(steps)
    return "float" if re.search(r"Cast Mul (?:Cast )*Mul Sum", text) else ""
