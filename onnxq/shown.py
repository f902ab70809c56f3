"""Results print as the command line shows them, and show themselves in a notebook.

Stages do not know how they are shown: the package that renders is looked up by name when somebody
prints a result, so that imports still run one way.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, Protocol, cast

_RENDERER: Final = "onnxq.render.results"


class _Renderer(Protocol):
    def as_text(self, result: object) -> str: ...

    def as_html(self, result: object) -> str: ...

    def as_page(self, result: object) -> str: ...

    def plan_page(self, plan: object, model: str) -> str: ...

    def require_page(self) -> None: ...


def renderer() -> _Renderer:
    """The module that renders results."""
    return cast(_Renderer, import_module(_RENDERER))


class Shown:
    """A result of onnxq: `print(result)` is for people, `result.to_dict()` for machines."""

    __slots__ = ()

    def __str__(self) -> str:
        return renderer().as_text(self)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return renderer().as_html(self)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values, which the command prints with --json."""
        raise NotImplementedError
