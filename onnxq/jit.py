"""Loops over arrays as machine code: importing this module imports numba, which takes 0.3 s."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

CACHE_ERRORS: list[RuntimeError] = []  # why the compiled code could not be kept


def jit(signature: Any = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile without the GIL, and keep the result on disk where numba can write to a folder."""

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return njit(signature, cache=True, nogil=True, **options)(function)
        except RuntimeError as reason:
            if "cannot cache" not in str(reason):
                raise
            CACHE_ERRORS.append(reason)  # as in a read-only container
            return njit(signature, nogil=True, **options)(function)

    return compiled
