"""Named arrays in a file, for another process; a name may be any text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def save_arrays(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to an .npz file."""
    with Path(path).open("wb") as file:
        np.savez(file, np.array(list(arrays), np.str_), *map(_plain, arrays.values()))


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """The array, texts with their length in their type: those of onnxruntime are objects."""
    return array.astype(np.str_) if array.dtype.kind == "O" else np.asarray(array)


def load_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        names = stored["arr_0"]
        return {str(name): stored[f"arr_{i}"] for i, name in enumerate(names, start=1)}
