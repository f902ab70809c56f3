"""The kinds of losses. Every module beside this one adds its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from onnxq.cost.losses.loss import Loss
from onnxq.cost.losses.view import EngineView

Search = Callable[[EngineView], Iterator[Loss]]
_SEARCHES: Final[dict[str, Search]] = {}
_REST: Final = "OQ697"


def search(code: str) -> Callable[[Search], Search]:
    """Register a search: it yields every loss of its code in an engine."""

    def register(function: Search) -> Search:
        if code in _SEARCHES:
            raise AssertionError(f"{code} has a search already")
        _SEARCHES[code] = function
        return function

    return register


def losses(view: EngineView) -> tuple[Loss, ...]:
    """Every loss of an engine, the most bytes first; OQ697 only of kernels without another."""
    every = [loss for code in sorted(_SEARCHES) for loss in _SEARCHES[code](view)]
    explained = {name for loss in every if loss.code != _REST for name in loss.kernels}
    kept = [x for x in every if x.code != _REST or not explained.intersection(x.kernels)]
    return tuple(sorted(kept, key=lambda loss: -loss.bytes))
