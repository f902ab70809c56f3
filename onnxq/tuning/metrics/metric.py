"""Metrics of the user: a function in a Python file, or one of a program that calls onnxq."""

from __future__ import annotations

import hashlib
import inspect
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import onnx

from onnxq.diagnostics import OnnxqError, did_you_mean, error, first_line
from onnxq.feeds.samples import Sample
from onnxq.sessions import Libraries
from onnxq.tuning.metrics.calling import Arrays, takes_runner
from onnxq.tuning.metrics.calls import Caller, InChild, InProcess
from onnxq.tuning.metrics.failures import extended
from onnxq.tuning.metrics.scoring import model_outputs

TIMEOUT_S: Final = 60.0
FUNCTION: Final = "metric"
# A function of (outputs, sample), whose mean over the samples counts, or of (runner).
MetricLike = str | Path | Callable[..., Any]
_PYTHON: Final = re.compile(r"(?P<file>.+\.py)(?::(?P<function>\w+))?")
_LONGEST_S: Final = 1e8


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric of the user; as a context manager it ends its process.

    `name` is as the user wrote it, `digest` is that of the file and the function's name: what the
    file reads besides is not in it. `timeout_s` is the limit for the import of the file, for each
    sample, and for what a function of a runner does behind the last.
    """

    name: str
    digest: str
    timeout_s: float
    caller: Caller = field(repr=False, compare=False)

    def score(
        self, model: onnx.ModelProto, samples: Sequence[Sample], libraries: Libraries = ()
    ) -> float:
        """How good the model is on the samples, of which there is at least one; higher is better.

        The model runs as it is written, in this process, and the function of the user in one of its
        own, which lives on; after an error the next score starts a new one. Raises OQ305 when
        onnxruntime cannot run the model, OQ491 for what the function raises, OQ492 when it gives no
        finite number, OQ493 when it takes too long and OQ494 when its process is lost.
        """
        outputs = _Last(model_outputs(model, samples, libraries))
        try:
            return self.caller.score(samples, outputs, self.timeout_s)
        except OnnxqError as reason:
            if reason.diagnostics[0].code != "OQ492" or outputs.are_finite:
                raise
            raise extended(reason, ": the outputs there are not finite either") from reason

    def close(self) -> None:
        """End the process; the next score starts another one."""
        self.caller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        reason: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def metric_file(metric: MetricLike | None) -> Path | None:
    """The Python file of a metric, if it is one."""
    python = None if metric is None or callable(metric) else _PYTHON.fullmatch(os.fspath(metric))
    return None if python is None else Path(python["file"])


def load_metric(metric: MetricLike, timeout_s: float = TIMEOUT_S) -> Metric:
    """A metric by `score.py:map50` (`score.py` has the function `metric`), or a function.

    The file is imported in a process of its own at once. Raises OQ490 when it cannot be used,
    OQ493 when the import takes too long and OQ494 when it ends the process. A function is called
    in this process: what it raises passes through, and no limit holds.
    """
    if not timeout_s > 0:
        fix = f"give a number of seconds, such as {TIMEOUT_S:g}"
        raise error("OQ490", f"a metric cannot work in {timeout_s:g} s", fix=fix)
    timeout_s = min(timeout_s, _LONGEST_S)
    if callable(metric):
        return _of_function(metric, timeout_s)
    text = os.fspath(metric)
    python = _PYTHON.fullmatch(text)
    if python is None:
        fix = "give a Python file and its function: score.py:map50"
        raise error("OQ490", f"the metric '{text}' is no Python file", fix=fix)
    file, name = python["file"], python["function"] or FUNCTION
    digest = hashlib.sha256(f"{name}\n".encode() + _content(Path(file)))
    child = InChild(file, name)
    child.load(timeout_s)
    return Metric(name=text, digest=digest.hexdigest(), timeout_s=timeout_s, caller=child)


def _of_function(function: Callable[..., Any], timeout_s: float) -> Metric:
    name = getattr(function, "__qualname__", type(function).__name__)
    source = name
    with suppress(OSError, TypeError):  # typed in, or no function
        source = inspect.getsource(function)
    return Metric(
        name=name,
        digest=hashlib.sha256(source.encode()).hexdigest(),
        timeout_s=timeout_s,
        caller=InProcess(function, is_whole=takes_runner(function, name)),
    )


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as reason:
        beside = [str(file.with_name(p.name)) for p in file.parent.glob("*.py")]
        fix = did_you_mean(str(file), beside, otherwise="correct the path")
        why = "does not exist" if not file.exists() else first_line(reason)
        raise error("OQ490", f"the metric '{file}' {why}", fix=fix) from None


class _Last:
    """An iterator that keeps its last item, outputs of a model."""

    def __init__(self, items: Iterator[Arrays]) -> None:
        self._items = items
        self._last: Arrays = {}

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Arrays:
        self._last = next(self._items)
        return self._last

    @property
    def are_finite(self) -> bool:
        """Whether the floats of the last outputs are."""
        floats = (array for array in self._last.values() if array.dtype.kind == "f")
        return all(math.isfinite(np.abs(array).max(initial=0)) for array in floats)
