"""The improvers, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, cast

from onnxq.improvement.improver import Improver
from onnxq.planning.improvers import ImproverName

# Each by its module and class; modules are imported when the improver runs.
_IMPROVERS: Final[dict[ImproverName, tuple[str, str]]] = {
    "layer-norm": ("layer_norm", "LayerNorm"),
    "equalize": ("equalization", "Equalize"),
    "scales": ("scales", "Scales"),
    "learn": ("learning", "Learn"),
    "rounding": ("rounding", "Rounding"),
    "bias": ("bias", "Bias"),
}


# Those that need a package which onnxq can do without, and its extra.
_NEED: Final[dict[ImproverName, str]] = {"scales": "torch", "learn": "torch"}


def missing(name: ImproverName) -> str:
    """Why an improver cannot run here; '' where it can."""
    package = _NEED.get(name)
    if package is None or _is_installed(package):
        return ""
    return f"it needs {package}, which is not installed: pip install 'onnxq[{package}]'"


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # as Python says of a package that it must not import
        return False


def improver(name: ImproverName) -> Improver:
    """The improver of a name."""
    module, cls = _IMPROVERS[name]
    make: Callable[[], Any] = getattr(import_module(f"onnxq.improvement.improvers.{module}"), cls)
    return cast(Improver, make())


def available() -> tuple[ImproverName, ...]:
    """The names of all improvers, in the order in which they run."""
    return tuple(_IMPROVERS)
