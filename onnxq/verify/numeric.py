"""Numeric: the float model against the Q/DQ model in onnxruntime, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxq import model as models
from onnxq.diagnostics import error, first_line
from onnxq.sessions import open_session

Source = onnx.ModelProto | str | Path
Sample = Mapping[str, NDArray[Any]]
Progress = Callable[[int], None]  # called with the number of samples done so far


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputComparison:
    """One output over all samples, float model (reference) against Q/DQ model.

    `sqnr_db` is 10*log10(sum(ref^2) / sum((ref - test)^2)): inf when all values are equal, -inf
    when only the reference is all zero. `cosine` is 1 when both are all zero, 0 when one is.
    `worst_sqnr_db` and `worst_sample` (zero-based) are of the sample with the lowest SQNR; of a
    float output only. `equal` is the share of values that are exactly equal.
    Figures are None when there is nothing to measure or one model alone gives NaN or infinite
    values; `problem` then says why. It also tells of samples left out for their shapes.
    """

    name: str
    dtype: str
    values: int
    sqnr_db: float | None
    worst_sqnr_db: float | None
    worst_sample: int | None
    cosine: float | None
    max_abs_error: float | None
    mean_abs_error: float | None
    equal: float | None
    problem: str = ""

    @property
    def is_float(self) -> bool:
        """True when the output has a floating-point type, so that SQNR means something."""
        return "float" in self.dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericReport:
    """Every output that the two models share, in the float model's order."""

    samples: int
    outputs: tuple[OutputComparison, ...]

    @property
    def sqnr_db(self) -> float | None:
        """The lowest SQNR among float outputs; None where one has none, or there is no such."""
        found = [o.sqnr_db for o in self.outputs if o.is_float or o.problem]
        known = [f for f in found if f is not None]
        return min(known) if known and len(known) == len(found) else None


def compare(
    float_model: Source,
    qdq_model: Source,
    feed: Iterable[Sample],
    *,
    progress: Progress | None = None,
) -> NumericReport:
    """Run both models on every sample of `feed` (input name to array) and compare the outputs.

    Samples are read one at a time and dropped, so memory does not grow with their number. Runs on
    the CPU; the same files and samples give the same figures on one machine.
    Raises OQ603 when inputs or outputs differ, OQ401 without samples, OQ404 when a sample does not
    fit the inputs, OQ305 when onnxruntime cannot load or run a model.
    """
    require_same_ports(_proto(float_model), _proto(qdq_model))
    with (
        _quiet_polygraphy(),
        _runner(float_model, "the float model") as reference,
        _runner(qdq_model, "the Q/DQ model") as test,
    ):
        totals = {o.name: _Totals(o.name) for o in reference.sess.get_outputs()}
        samples = 0
        for sample in feed:
            expected, found = _infer(reference, sample), _infer(test, sample)
            for name, total in totals.items():
                total.add(samples, expected[name], found[name])
            samples += 1
            if progress is not None:
                progress(samples)
    if not samples:
        raise error("OQ401", "there is no sample to compare the models on", fix="give --data")
    return NumericReport(samples=samples, outputs=tuple(t.result() for t in totals.values()))


def _proto(model: Source) -> onnx.ModelProto:
    if isinstance(model, onnx.ModelProto):
        return model
    return models.load(model)


@contextmanager
def _quiet_polygraphy() -> Iterator[None]:
    from polygraphy.logger import G_LOGGER

    with G_LOGGER.verbosity(G_LOGGER.CRITICAL + 1):  # its errors reach us as exceptions
        yield


@contextmanager
def _runner(model: Source, called: str) -> Iterator[Any]:
    from polygraphy.backend.onnxrt import OnnxrtRunner

    runner = OnnxrtRunner(open_session(model, called=called, as_written=True), name=called)
    runner.activate()
    try:
        yield runner
    finally:
        runner.deactivate()


def _infer(runner: Any, sample: Sample) -> Mapping[str, Any]:
    # Not through Comparator.run: it either keeps the outputs of every sample, or (streaming)
    # transposes and casts samples that do not fit instead of refusing them.
    from polygraphy.exception import PolygraphyException

    try:
        outputs: Mapping[str, Any] = runner.infer(dict(sample), check_inputs=True)
    except PolygraphyException as reason:
        said = " ".join(str(reason).split())
        raise error("OQ404", said, fix="give samples that fit the model's inputs") from None
    except Exception as reason:
        raise error(
            "OQ305",
            f"onnxruntime cannot run {runner.name}: {first_line(reason)}",
            fix="give models that onnxruntime runs on the CPU",
        ) from None
    return outputs


def require_same_ports(float_model: onnx.ModelProto, qdq_model: onnx.ModelProto) -> None:
    """Raise OQ603 when two models do not have inputs and outputs of the same names."""
    for kind in ("input", "output"):
        first, second = (_ports(m.graph, kind) for m in (float_model, qdq_model))
        if first != second:
            only = [f"only the float model has {sorted(first - second)}"] if first - second else []
            only += [f"only the Q/DQ model has {sorted(second - first)}"] if second - first else []
            raise error(
                "OQ603",
                f"the models have different {kind}s: {', '.join(only)}",
                fix="compare a Q/DQ model with the float model that it was made from",
            )


def _ports(graph: onnx.GraphProto, kind: str) -> set[str]:
    """Names of inputs or outputs; initializers that are listed as inputs are none."""
    return {port.name for port in getattr(graph, kind)} - {t.name for t in graph.initializer}


class _Totals:
    """Sums over the samples of one output."""

    def __init__(self, name: str) -> None:
        self.name, self.dtype = name, ""
        self.values = self.equal = 0
        self.reference = self.test = self.product = self.noise = self.error = self.largest = 0.0
        self.worst: tuple[float, int] | None = None
        self.left_out: dict[str, list[int]] = {}

    def add(self, index: int, reference: Any, test: Any) -> None:
        self.dtype = self.dtype or str(getattr(reference, "dtype", type(reference).__name__))
        problem = _problem(reference, test)
        if problem:
            self.left_out.setdefault(problem, []).append(index)
            return
        same = (reference == test) | ((reference != reference) & (test != test))
        self.values += same.size
        self.equal += int(np.count_nonzero(same))
        # What is infinite or NaN in both is equal, and would make every sum NaN.
        finite = np.isfinite(reference)
        first, second = (a[finite].astype(np.float64) for a in (reference, test))
        noise = first - second
        signal, lost = float(first @ first), float(noise @ noise)
        self.reference += signal
        self.noise += lost
        self.test += float(second @ second)
        self.product += float(first @ second)
        distance = np.abs(noise)
        self.error += float(distance.sum())
        self.largest = max(self.largest, float(distance.max(initial=0.0)))
        worst = (_decibel(signal, lost), index)
        self.worst = min(self.worst or worst, worst)

    def result(self) -> OutputComparison:
        some = self.values > 0 and _NOT_FINITE not in " ".join(self.left_out)
        worst = self.worst if some and "float" in self.dtype else None
        return OutputComparison(
            name=self.name,
            dtype=self.dtype,
            values=self.values,
            sqnr_db=_decibel(self.reference, self.noise) if worst else None,
            worst_sqnr_db=worst[0] if worst else None,
            worst_sample=worst[1] if worst else None,
            cosine=self._cosine() if some else None,
            max_abs_error=self.largest if some else None,
            mean_abs_error=self.error / self.values if some else None,
            equal=self.equal / self.values if some else None,
            problem=self._problem(),
        )

    def _cosine(self) -> float:
        norm = math.sqrt(self.reference) * math.sqrt(self.test)
        if not norm:
            return float(self.reference == self.test)
        return max(-1.0, min(1.0, self.product / norm))

    def _problem(self) -> str:
        said = [
            f"{what} in {len(found)} samples, first in sample {found[0]}"
            for what, found in self.left_out.items()
        ]
        return "; ".join(said) or ("" if self.values else "the output has no values")


def _decibel(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


_MEASURABLE: Final = "fiub"
_NOT_FINITE: Final = "NaN or infinite values"


def _problem(reference: Any, test: Any) -> str:
    """Why the two values of an output cannot be compared; '' when they can."""
    kinds = [getattr(getattr(a, "dtype", None), "kind", "") for a in (reference, test)]
    if not all(k and k in _MEASURABLE for k in kinds):
        return f"not a tensor of numbers ({type(reference).__name__}),"
    if reference.shape != test.shape:
        return f"shapes differ, {list(reference.shape)} against {list(test.shape)},"
    one_sided = ~((reference == test) | (np.isfinite(reference) & np.isfinite(test)))
    one_sided &= ~(np.isnan(reference) & np.isnan(test))
    if one_sided.any():
        where = "the float model" if np.isfinite(test[one_sided]).all() else "the Q/DQ model"
        return f"{_NOT_FINITE} in {where} only,"
    return ""
