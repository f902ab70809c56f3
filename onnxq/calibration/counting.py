"""Accumulators for many tensors, filled by several threads at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from onnxq.calibration.histogram import (
    Accumulator,
    BitHistogram,
    HistogramAccumulator,
    RangeAccumulator,
    SparseAccumulator,
    ValueRange,
)
from onnxq.cores import cores
from onnxq.descriptor import Calibrator
from onnxq.diagnostics import Diagnostic, Severity

_DENSE: Final = 1000  # histograms of 1 MB


class Counting:
    """One accumulator per tensor; each array is counted by one of `threads`, None: one per core."""

    def __init__(
        self, tensors: Iterable[str], calibrator: Calibrator, threads: int | None = None
    ) -> None:
        names = tuple(tensors)
        make = _kind(calibrator, len(names))
        self._accumulators: dict[str, Accumulator] = {name: make() for name in names}
        self._threads = threads or cores()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="onnxq-count")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._pool.shutdown()

    def observe(self, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take in one array (float32 or float16, any shape) of every tensor."""
        *others, mine = _shares(values, self._accumulators, self._threads)
        waiting = [self._pool.submit(self._count, share, values) for share in others]
        self._count(mine, values)
        for share_done in waiting:
            share_done.result()

    def _count(self, names: Iterable[str], values: Mapping[str, npt.NDArray[Any]]) -> None:
        for name in names:
            self._accumulators[name].observe(values[name].astype(np.float32, copy=False))

    def freeze(self) -> dict[str, BitHistogram | ValueRange]:
        """Return the values observed so far, by tensor."""
        return {name: a.freeze() for name, a in self._accumulators.items()}


def _kind(calibrator: Calibrator, tensors: int) -> type[Accumulator]:
    if calibrator == "max":
        return RangeAccumulator
    return HistogramAccumulator if tensors <= _DENSE else SparseAccumulator


def kernel_diagnostics(calibrator: Calibrator) -> tuple[Diagnostic, ...]:
    """OQ445 when numba cannot keep the compiled kernel, so that each process compiles it again."""
    if calibrator != "histogram":
        return ()
    from onnxq import jit
    from onnxq.calibration import _bitcount  # noqa: F401 - it compiles, or finds what it compiled

    if not jit.CACHE_ERRORS:
        return ()
    return (
        Diagnostic(
            code="OQ445",
            message="the calibration takes a few seconds longer than it could, with the same "
            "result: numba has no folder to keep its compiled code in",
            fix="set the environment variable NUMBA_CACHE_DIR to a folder that can be written to",
            severity=Severity.INFO,
        ),
    )


def _shares(
    values: Mapping[str, npt.NDArray[Any]], names: Iterable[str], count: int
) -> list[list[str]]:
    """Deal out the tensors, largest first, each to the share with the least values."""
    shares: list[list[str]] = [[] for _ in range(count)]
    loads = [0] * count
    for name in sorted(names, key=lambda name: -values[name].size):
        least = loads.index(min(loads))
        shares[least].append(name)
        loads[least] += values[name].size + 4096  # a call costs as much as so many values
    return shares
