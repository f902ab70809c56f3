"""Calls of a metric's function: in its process, or in this one for a function of a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from onnxq.diagnostics import OnnxqError, error, first_line
from onnxq.feeds.samples import Sample, Tensors
from onnxq.passed_arrays import save_arrays
from onnxq.tuning.metrics import failures
from onnxq.tuning.metrics.calling import Arrays, MetricSample, Runner, score_of
from onnxq.tuning.metrics.process import LostError, Process

_PROGRAM: Final = "onnxq.tuning.metrics._child"
_START_S: Final = 300.0  # for the interpreter, on a machine that does much else
_GRACE_S: Final = 5.0  # the process ends itself at the limit; then its line is known


class Caller(Protocol):
    """Scores a model by its outputs on the samples, which it takes as they are computed."""

    def score(
        self, samples: Sequence[Sample], outputs: Iterator[Arrays], timeout_s: float
    ) -> float:
        """The number that the function gives (OQ490 to OQ494)."""
        ...

    def close(self) -> None:
        """End what is running."""
        ...


class InProcess:
    """A function of this program; what it raises passes through, and no limit holds."""

    def __init__(self, function: Callable[..., Any], *, is_whole: bool) -> None:
        self._function, self._is_whole = function, is_whole

    def score(
        self, samples: Sequence[Sample], outputs: Iterator[Arrays], timeout_s: float
    ) -> float:
        """The number that the function gives (OQ492)."""
        items = ((arrays, _shown(sample)) for arrays, sample in zip(outputs, samples, strict=True))
        return score_of(self._function, Runner(items, len(samples)), is_whole=self._is_whole)

    def close(self) -> None:
        """Nothing is open."""


def _shown(sample: Sample) -> MetricSample:
    fetch = partial(_copies, sample)
    return MetricSample(name=sample.name, number=sample.number, count=sample.count, fetch=fetch)


def _copies(sample: Sample) -> Arrays:
    return {name: array.copy() for name, array in sample.tensors.items()}


class InChild:
    """The function `name` of a Python file, in a process that lives until an error or `close`."""

    def __init__(self, file: str, name: str) -> None:
        self._file, self._name = file, name
        self._process: Process | None = None

    def load(self, timeout_s: float) -> None:
        """Start the process and import the file (OQ490, OQ493, OQ494)."""
        self._process = Process(_PROGRAM, self._file, self._name)
        call = _Call((), iter(()), self._process.folder)
        self._finish(call, _START_S, until="started")
        self._finish(call, timeout_s, limit=timeout_s)

    def score(
        self, samples: Sequence[Sample], outputs: Iterator[Arrays], timeout_s: float
    ) -> float:
        """The number that the function gives (OQ490 to OQ494)."""
        if self._process is None:
            self.load(timeout_s)
        assert self._process is not None
        call = _Call(samples, outputs, self._process.folder)
        return self._finish(call, timeout_s, limit=timeout_s, samples=len(samples))

    def _finish(
        self, call: _Call, timeout_s: float, until: str = "result", **request: float
    ) -> float:
        """Answer the process until it is done; whatever fails or interrupts that ends it."""
        assert self._process is not None
        process = self._process
        try:
            if request:
                process.send(**request)
            outcome = _outcome(process, call, timeout_s + _GRACE_S, until)
        except LostError as reason:
            code = process.end(linger=reason.how == "ended")
            outcome = failures.lost(
                reason.how,
                code,
                process.trace,
                file=self._file,
                doing=call.doing,
                limit_s=timeout_s,
            )
        except BaseException:
            self.close()
            raise
        if isinstance(outcome, float):
            return outcome
        self.close()
        raise failures.extended(outcome, failures.after_printing(process.printed))

    def close(self) -> None:
        """End the process, and all that it started; `score` starts another one."""
        process, self._process = self._process, None
        if process is not None:
            process.end()
            process.clear()


def _outcome(process: Process, call: _Call, limit_s: float, until: str) -> float | OnnxqError:
    while True:
        message = process.receive(limit_s)
        if "error" in message:
            return failures.sent(message["error"])
        if until in message:
            return failures.sent_number(message[until])
        process.send(**call.answer(message))


class _Call:
    """What one call of the function may ask: the outputs on the next sample, inputs of any."""

    def __init__(self, samples: Sequence[Sample], outputs: Iterator[Arrays], folder: Path) -> None:
        self._samples, self._outputs, self._folder = samples, outputs, folder
        self._next = 0
        self.doing = "" if samples else " while its file was imported"

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a question (LostError for what is none)."""
        want, index = message.get("want"), message.get("index")
        if want == "next":
            return self._outputs_of_next()
        if want == "inputs" and isinstance(index, int) and 0 <= index < len(self._samples):
            return self._written(f"inputs-{index}.npz", self._samples[index].tensors)
        raise LostError("garbled")

    def _outputs_of_next(self) -> dict[str, Any]:
        index = self._next
        if index == len(self._samples):
            self.doing = ""
            return {}
        sample, self._next = self._samples[index], index + 1
        self.doing = f" at '{sample.name}'"
        answer = self._written("outputs.npz", next(self._outputs))
        about = {"name": sample.name, "number": sample.number, "count": sample.count}
        return {**answer, **about, "index": index}

    def _written(self, name: str, arrays: Tensors) -> dict[str, Any]:
        file = self._folder / name
        try:
            save_arrays(file, arrays)
        except OSError as reason:
            raise error(
                "OQ494",
                f"arrays for the metric cannot be written to '{file}': {first_line(reason)}",
                fix="free some space in the temporary folder, or name another in TMPDIR",
            ) from reason
        return {"file": str(file)}
