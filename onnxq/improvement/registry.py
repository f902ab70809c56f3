"""The improvers, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, cast

from onnxq.improvement.improver import Improver
from onnxq.planning.improvers import ImproverName

# Each by its module and class; modules are imported when the improver runs.
_IMPROVERS: Final[dict[ImproverName, tuple[str, str]]] = {
    "equalize": ("equalization", "Equalize"),
    "bias": ("bias", "Bias"),
    "rounding": ("rounding", "Rounding"),
}


def improver(name: ImproverName) -> Improver:
    """The improver of a name."""
    module, cls = _IMPROVERS[name]
    make: Callable[[], Any] = getattr(import_module(f"onnxq.improvement.{module}"), cls)
    return cast(Improver, make())


def available() -> tuple[ImproverName, ...]:
    """The names of all improvers, in the order in which they run."""
    return tuple(_IMPROVERS)
