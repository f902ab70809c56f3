"""The names of the improvers, which a rule may let act on an op."""

from typing import Final, Literal, get_args

ImproverName = Literal["layer-norm", "equalize", "scales", "learn", "rounding", "bias"]
IMPROVER_NAMES: Final[tuple[ImproverName, ...]] = get_args(ImproverName)
