"""How two tensors differ, summed over samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnxq.diagnostics import counted
from onnxq.verification.numeric.difference import Difference, difference
from onnxq.verification.numeric.kinds import OutputKind, kind_of
from onnxq.verification.numeric.rows import SortedRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One tensor over all samples: the float model's (reference) against the quantized one's.

    `name` is its name in the float model, `dtype` its type there, `values` the number of
    compared values. `sqnr_db` is 10*log10(sum(ref^2) / sum((ref - test)^2)): inf when all values
    are equal, -inf when only the reference is all zero; None for integers. `cosine` is 1 when both
    are all zero, 0 when only one is. `worst_sqnr_db` and `worst_cosine` are the lowest of a single
    sample; `worst_sample` names the sample with the lowest SQNR, `worst_cosine_sample` the one with
    the lowest cosine. `equal` is the share of values that are exactly equal.
    Figures are None when there is nothing to measure or one model alone gives NaN or infinite
    values; `problem` then says why. It also reports samples left out because of their shapes.
    `rows` says how many rows were matched, where the values decide on their order; None elsewhere.
    `kind` is what it seems to hold by its form.
    `parts` are groups of channels that differ much in power, or those that the user named, each
    with figures of its own; `where` is the index of a part in its output, '[:,4:]' as in numpy.
    """

    name: str
    dtype: str
    values: int
    sqnr_db: float | None
    worst_sqnr_db: float | None
    worst_sample: str | None
    cosine: float | None
    worst_cosine: float | None
    worst_cosine_sample: str | None
    max_abs_error: float | None
    mean_abs_error: float | None
    equal: float | None
    problem: str = ""
    kind: OutputKind = "other"
    rows: SortedRows | None = None
    parts: tuple[Comparison, ...] = ()
    where: str = ""

    @property
    def judged(self) -> tuple[Comparison, ...]:
        """What thresholds apply to: the parts, or the whole where it has none."""
        return self.parts or (self,)

    def without_figures(self, problem: str) -> Comparison:
        """A comparison that says nothing but why."""
        nothing = Totals(self.name).result()
        return replace(nothing, dtype=self.dtype, kind=self.kind, rows=self.rows, problem=problem)

    @property
    def sqnr(self) -> float | None:
        """The SQNR over all samples in dB, as `sqnr_db`."""
        return self.sqnr_db

    @property
    def is_float(self) -> bool:
        """True when the tensor has a floating-point type, so that SQNR means something."""
        return "float" in self.dtype


class Totals:
    """Sums over the samples of one tensor; memory does not grow with their number."""

    def __init__(self, name: str, *, is_part: bool = False) -> None:
        self.name, self.is_part, self.dtype = name, is_part, ""
        self.values = self.equal = 0
        self.reference = self.test = self.product = self.noise = self.error = self.largest = 0.0
        self.worst: tuple[float, str] | None = None
        self.worst_cosine: tuple[float, str] | None = None
        self.left_out: dict[str, list[str]] = {}
        self.shape: tuple[int, ...] = ()
        self.low, self.high = math.inf, -math.inf

    def add(self, sample: str, reference: Any, test: Any) -> bool:
        """Compare one sample; True unless it cannot be compared, which is recorded as a problem."""
        self.dtype = self.dtype or str(getattr(reference, "dtype", type(reference).__name__))
        if problem := _no_pair(reference, test):
            self.leave_out(sample, problem)
            return False
        sums = difference(reference, test)
        if not sums.is_finite:
            if problem := _one_sided(reference, test):
                self.leave_out(sample, problem)
                return False
            sums = _of_finite(reference, test)
        self.values += reference.size
        self.shape = reference.shape
        self.equal += sums.equal
        self.low, self.high = min(self.low, sums.low), max(self.high, sums.high)
        self.reference += sums.signal
        self.noise += sums.noise
        self.test += sums.test
        self.product += sums.product
        self.error += sums.error
        self.largest = max(self.largest, sums.largest)
        self.worst = _lower(self.worst, (_decibel(sums.signal, sums.noise), sample))
        cosine = _cosine(sums.signal, sums.test, sums.product)
        self.worst_cosine = _lower(self.worst_cosine, (cosine, sample))
        return True

    def leave_out(self, sample: str, why: str) -> None:
        """Record that a sample cannot be compared."""
        self.left_out.setdefault(why, []).append(sample)

    def result(self) -> Comparison:
        """The figures of all samples so far."""
        some = self.values > 0 and _NOT_FINITE not in " ".join(self.left_out)
        worst = self.worst if some and "float" in self.dtype else None
        worst_cosine = self.worst_cosine if some else None
        return Comparison(
            name=self.name,
            dtype=self.dtype,
            values=self.values,
            sqnr_db=_decibel(self.reference, self.noise) if worst else None,
            worst_sqnr_db=worst[0] if worst else None,
            worst_sample=worst[1] if worst else None,
            cosine=_cosine(self.reference, self.test, self.product) if some else None,
            worst_cosine=worst_cosine[0] if worst_cosine else None,
            worst_cosine_sample=worst_cosine[1] if worst_cosine else None,
            max_abs_error=self.largest if some else None,
            mean_abs_error=self.error / self.values if some else None,
            equal=self.equal / self.values if some else None,
            problem=self._problem(),
            kind=self._kind() if worst else "other",
        )

    def _kind(self) -> OutputKind:
        return kind_of(self.shape, self.low, self.high, is_part=self.is_part)

    def _problem(self) -> str:
        problems = [
            f"{what} in {counted(len(samples), 'sample')}, first in '{samples[0]}'"
            for what, samples in self.left_out.items()
        ]
        return "; ".join(problems) or ("" if self.values else "it has no values")


def _lower(old: tuple[float, str] | None, new: tuple[float, str]) -> tuple[float, str]:
    return new if old is None or new[0] < old[0] else old


def _decibel(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def _cosine(reference: float, test: float, product: float) -> float:
    norm = math.sqrt(reference) * math.sqrt(test)
    if not norm:
        return float(reference == test)
    return max(-1.0, min(1.0, product / norm))


_MEASURABLE: Final = "fiub"
_NOT_FINITE: Final = "NaN or infinite values"


def _no_pair(reference: Any, test: Any) -> str:
    """Why the two values of a tensor are no pair of arrays of numbers; '' when they are."""
    kinds = [getattr(getattr(a, "dtype", None), "kind", "") for a in (reference, test)]
    if not all(k and k in _MEASURABLE for k in kinds):
        return f"not a tensor of numbers ({type(reference).__name__}),"
    if reference.shape != test.shape:
        return f"shapes differ, {list(reference.shape)} against {list(test.shape)},"
    return ""


def _one_sided(reference: NDArray[Any], test: NDArray[Any]) -> str:
    """Why values that are not finite cannot be compared; '' when both arrays have the same."""
    bounded = np.isfinite(reference) & np.isfinite(test)
    one_sided = ~(bounded | (reference == test) | (np.isnan(reference) & np.isnan(test)))
    if not one_sided.any():
        return ""
    where = "the float model" if np.isfinite(test[one_sided]).all() else "the Q/DQ model"
    return f"{_NOT_FINITE} in {where} only,"


def _of_finite(reference: NDArray[Any], test: NDArray[Any]) -> Difference:
    """The sums over the finite values; the others, which are the same in both, count as equal."""
    finite = np.isfinite(reference)
    sums = difference(reference[finite], test[finite])
    return replace(sums, equal=sums.equal + int(finite.size - np.count_nonzero(finite)))
