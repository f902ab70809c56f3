"""How a function of the user is called, and the one number that it has to give.

The process of the user's code imports this, so it imports little.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from numpy.typing import NDArray

from onnxq.diagnostics import OnnxqError, error

Arrays = dict[str, NDArray[Any]]
ARGUMENTS: Final = "outputs, sample"
_RUNNERS: Final = ("runner", "run")  # names of the argument of a function for all samples
_LONGEST: Final = 80  # characters of a value or a signature in a message


@dataclass(frozen=True, kw_only=True, eq=False)
class MetricSample:
    """A sample as a metric gets it.

    `name` is its file, as onnxq was given it, or its place in an array; `number` its place in the
    data from 0, `count` how many pictures or rows are in it. `inputs` of the model are read when
    they are asked for, and may be changed.
    """

    name: str
    number: int
    count: int
    fetch: Callable[[], Arrays] = field(repr=False)

    @cached_property
    def inputs(self) -> Arrays:
        """The arrays by the name of the model's input."""
        return self.fetch()


class Runner:
    """Runs the model: an iteration gives `(outputs, sample)` for every sample, once."""

    def __init__(self, items: Iterator[tuple[Arrays, MetricSample]], length: int) -> None:
        self._items = items
        self._length = length
        self._is_begun = False
        self._sample: MetricSample | None = None

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[Arrays, MetricSample]]:
        if self._is_begun:
            raise RuntimeError("the runner gives the samples once: keep what you need of them")
        self._is_begun = True
        return self._pass()

    def _pass(self) -> Iterator[tuple[Arrays, MetricSample]]:
        for outputs, sample in self._items:
            self._sample = sample
            yield outputs, sample
        self._sample = None

    @property
    def place(self) -> str:
        """The sample that the metric works on, for messages; empty between them."""
        return f" at '{self._sample.name}'" if self._sample is not None else ""


def takes_runner(function: Callable[..., Any], name: str) -> bool:
    """Whether a function wants all samples: its first argument is called `runner` or `run`.

    Raises OQ490 unless it can be called with that, or with outputs and a sample.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return False  # it is written in C and does not say what it takes
    names = [p.name for p in signature.parameters.values() if p.kind <= p.POSITIONAL_OR_KEYWORD]
    is_whole = bool(names) and names[0] in _RUNNERS
    try:
        signature.bind(*range(1 if is_whole else 2))
    except TypeError:
        raise error(
            "OQ490",
            f"the metric cannot be called with ({ARGUMENTS}): {name}{_short(str(signature))}",
            fix=f"define {name}({ARGUMENTS}), or {name}(runner) for one number of all samples",
        ) from None
    return is_whole


def score_of(function: Callable[..., Any], runner: Runner, *, is_whole: bool) -> float:
    """The number that the function gives for all samples, or the mean of those for each.

    A sample of several pictures counts as many times. Raises what the function raises, and OQ492.
    """
    if is_whole:
        return number(function(runner), "")
    scores, counts = [], []
    for outputs, sample in runner:
        scores.append(number(function(outputs, sample), runner.place) * sample.count)
        counts.append(sample.count)
    return math.fsum(scores) / sum(counts)


def number(value: Any, place: str) -> float:
    """A finite number: of Python, or a scalar of numpy, torch and others (OQ492)."""
    if isinstance(value, str | bytes) or value is None:
        raise _no_number(_short(repr(value)), place)
    shape = getattr(value, "shape", ())
    if not isinstance(shape, tuple) or len(shape):
        raise _no_number(f"an array of shape {_short(str([*shape]))}", place)
    try:
        result = float(value)
    except Exception:
        raise _no_number(f"a value of type '{type(value).__name__}'", place) from None
    if not math.isfinite(result):
        raise _no_number("NaN" if math.isnan(result) else str(result), place)
    return result


def _no_number(what: str, place: str) -> OnnxqError:
    return error(
        "OQ492",
        f"the metric gives {what}{place}, not a finite number",
        fix="return one number, and decide there what a sample without any counts",
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
