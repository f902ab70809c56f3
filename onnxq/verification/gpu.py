"""Detection of a GPU."""

from __future__ import annotations

import ctypes
from typing import Final

_DRIVERS: Final = ("libcuda.so.1", "nvcuda.dll")


def gpu() -> bool:
    """True when this machine has a CUDA driver and a GPU that it can use."""
    for library in _DRIVERS:
        try:
            return bool(ctypes.CDLL(library).cuInit(0) == 0)
        except OSError:
            continue
    return False
