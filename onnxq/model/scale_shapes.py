"""Which shapes of scales ONNX has for a tensor: one scale, one a channel, or one a block."""

from __future__ import annotations

import math
from collections.abc import Sequence


def is_valid(scales: Sequence[int], sizes: Sequence[int], axis: int, block: int) -> bool:
    """True when scales of this shape fit a tensor of these sizes; `block` is 0 without blocks."""
    rank = len(sizes)
    if len(scales) < 2 and math.prod(scales) == 1 and not block:
        return True
    if not -rank <= axis < rank:
        return False
    if not block:
        return list(scales) == [sizes[axis]]
    blocks = list(sizes)
    blocks[axis] = -(-sizes[axis] // block)
    return list(scales) == blocks
