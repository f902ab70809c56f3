"""Values that a loader yields -> arrays by input name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.diagnostics import OnnxqError, counted, error, first_line
from onnxq.feeds.samples import InputSpec, Tensors


def named(where: str, value: Any, inputs: Sequence[InputSpec]) -> Tensors:
    """Return the arrays of a dictionary, of a tuple or list in the inputs' order, or of one tensor.

    Tensors of torch and other libraries are converted without importing these. Errors: OQ403 when
    the number of tensors is not that of the inputs, OQ423 for other values.
    """
    if isinstance(value, Mapping):
        return {
            str(name): _array(f"{where}['{name}']", np.asarray(v) if _is_numbers(v) else v)
            for name, v in value.items()
        }
    parts = value if isinstance(value, tuple | list) else (value,)
    arrays = [_array(where, part) for part in parts]
    if len(arrays) != len(inputs):
        names = "".join(f", '{spec.name}'" for spec in inputs).replace(",", ":", 1)
        tensors, wanted = counted(len(arrays), "tensor"), counted(len(inputs), "input")
        raise error(
            "OQ403",
            f"'{where}' has {tensors}, and the model has {wanted}{names}",
            fix="give each sample as the inputs alone, without labels, or as a dictionary by name",
        )
    return {spec.name: array for spec, array in zip(inputs, arrays, strict=True)}


def _is_numbers(value: Any) -> bool:
    """True for a list or tuple of numbers, or of lists of them, which a dictionary can hold."""
    return isinstance(value, list | tuple) and all(
        isinstance(item, int | float) or _is_numbers(item) for item in value
    )


def _array(where: str, value: Any) -> NDArray[Any]:
    if isinstance(value, int | float):  # of Python, for a scalar input
        return np.asarray(value)
    if not hasattr(value, "__array__"):
        raise _no_array(where, value)
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        message = f"'{where}' is a masked array, and the masked values would count"
        raise error("OQ423", message, fix="fill them first, as with .filled(0)")
    try:
        if hasattr(value, "detach"):  # a torch tensor, on any device, with or without gradient
            value = value.detach().cpu()
            value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
        array = np.asarray(value)
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    except Exception as reason:
        raise error(
            "OQ423",
            f"'{where}' is a {_called(value)} that cannot become a NumPy array: "
            f"{first_line(reason)}",
            fix="give it as float32 on the CPU",
        ) from reason


def _no_array(where: str, value: Any) -> OnnxqError:
    return error(
        "OQ423",
        f"'{where}' is a {_called(value)}, not a tensor",
        fix="give arrays or tensors: a dictionary by input name, a tuple, or a single one",
    )


def _called(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
