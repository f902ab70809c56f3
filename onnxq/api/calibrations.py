"""Merge and summarize calibrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from math import isfinite
from operator import add
from pathlib import Path
from typing import Any, Final, Literal

from onnxq.calibration import summary
from onnxq.calibration.statistics import Statistics, TensorStatistics, add_digests
from onnxq.diagnostics import (
    Diagnostic,
    OnnxqError,
    counted,
    did_you_mean,
    error,
    require_choice,
    warning,
)
from onnxq.outputs import require_writable
from onnxq.planning.selectors.base import InvalidMatchError
from onnxq.planning.selectors.basic import name_pattern
from onnxq.shown import Shown

Sort = Literal["outliers", "name"]
PERCENTILE: Final = 99.99


def merge(
    calibrations: Sequence[Statistics | str | Path], *, output: str | Path | None = None
) -> Statistics:
    """Add calibrations of one model: the statistics of one run over all their data, bit for bit.

    `output` is the file to write. Raises OQ410, OQ412 and OQ440 for the files, OQ418 when they do
    not add, and OQ441 when data would be counted twice.
    """
    if isinstance(calibrations, str | Path | Statistics):
        calibrations = (calibrations,)
    if not calibrations:
        raise error("OQ410", "there is no calibration to add", fix="give one or more")
    path = None if output is None else Path(output)
    files = [c.path if isinstance(c, Statistics) else Path(c) for c in calibrations]
    require_writable({"the output": path}, files)
    parts = {_name(c, i): _loaded(c) for i, c in enumerate(calibrations, start=1)}
    if len(parts) < len(calibrations):
        names = [_name(c, i) for i, c in enumerate(calibrations, start=1)]
        twice = next(name for name in names if names.count(name) > 1)
        raise _counted_twice(f"'{twice}' is given twice", "give it once")
    _require_addable(parts)
    _require_other_data(parts)
    total = reduce(add, parts.values())
    warnings = (*_unequal(parts, total), *_shared(parts), *_infinite(total))
    total = replace(total, diagnostics=warnings)
    return total if path is None else total.save(path)


def _name(calibration: Statistics | str | Path, number: int) -> str:
    if isinstance(calibration, Statistics):
        return f"calibration {number}" if calibration.path is None else str(calibration.path)
    return str(calibration)


def _loaded(calibration: Statistics | str | Path) -> Statistics:
    if isinstance(calibration, Statistics):
        return calibration
    return Statistics.load(calibration)


def _require_addable(parts: Mapping[str, Statistics]) -> None:
    first, *others = parts
    for other in others:
        difference = parts[first].difference(parts[other])
        if difference:
            raise error(
                "OQ418",
                f"'{first}' and '{other}' do not add: {difference}",
                fix="add calibrations that were made alike from one model",
            )


def _require_other_data(parts: Mapping[str, Statistics]) -> None:
    """Raise OQ441 when a file holds the same data as another, or as all others together."""
    by_data: dict[str, str] = {}
    for name, part in parts.items():
        if part.samples and part.data_digest in by_data:
            message = f"'{by_data[part.data_digest]}' and '{name}' hold the same data"
            raise _counted_twice(message, f"leave '{name}' out")
        by_data[part.data_digest] = name
    for name, part in parts.items():
        others = [p for n, p in parts.items() if n != name]
        if part.samples and part.data_digest == add_digests(*(p.data_digest for p in others)):
            message = f"'{name}' holds the data of all the others together"
            raise _counted_twice(message, f"leave '{name}' out")


def _counted_twice(message: str, fix: str) -> OnnxqError:
    return error("OQ441", f"{message}: it would be counted twice", fix=fix)


def _unequal(parts: Mapping[str, Statistics], total: Statistics) -> list[Diagnostic]:
    """Warn of tensors that only some of the parts have (OQ442)."""
    partly = [n for n in total.tensors if any(n not in p.tensors for p in parts.values())]
    if not partly:
        return []
    some = ", ".join(f"'{name}'" for name in partly[:6]) + (", ..." if len(partly) > 6 else "")
    return [
        warning(
            "OQ442",
            f"{len(partly)} tensors were not observed in all of the files: {some}",
            fix="calibrate all parts with the same --rules, or with none",
        )
    ]


def _shared(parts: Mapping[str, Statistics]) -> list[Diagnostic]:
    """Warn of samples that are in an earlier file too, as in shards cut in different ways."""
    owner: dict[str, str] = {}
    warnings = []
    for name, part in parts.items():
        before = [owner[digest] for digest in part.sample_digests if digest in owner]
        if before:
            count = f"{len(before)} of {counted(part.samples, 'sample')} of '{name}'"
            warnings.append(
                warning(
                    "OQ441",
                    f"{count} are in '{before[0]}' too",
                    fix="leave one out, unless the data itself holds them twice",
                )
            )
        for digest in part.sample_digests:
            owner.setdefault(digest, name)
    return warnings


def _infinite(total: Statistics) -> list[Diagnostic]:
    """Warn of infinite values in the inputs, of all parts together (OQ425)."""
    counts = {
        name: total.tensors[name].range.inf
        for name in total.input_shapes.keys() & total.tensors.keys()
    }
    return [
        warning(
            "OQ425",
            f"the input '{name}' has {counted(count, 'infinite value')}",
            fix="correct the data, unless they are meant, as in a mask",
        )
        for name, count in sorted(counts.items())
        if count
    ]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CalibrationSummary(Shown):
    """What was observed of each tensor, and the amax that each method reads from it.

    `amaxes` are by tensor and method. `histograms` is True when tensors were named: the histogram
    of each is shown then. `hidden` is how many more there are.
    """

    statistics: Statistics
    tensors: tuple[str, ...]
    amaxes: Mapping[str, Mapping[str, float]]
    percentile: float
    histograms: bool = False
    hidden: int = 0

    def to_dict(self) -> dict[str, Any]:
        """What the calibration is of, and each tensor; with its histogram when it was named."""
        statistics = self.statistics
        shapes = {name: list(shape) for name, shape in statistics.input_shapes.items()}
        return {
            "calibration": None if statistics.path is None else str(statistics.path),
            "model": None if statistics.model_path is None else str(statistics.model_path),
            "model_digest": statistics.model_digest,
            "data_digest": statistics.data_digest,
            "calibrator": statistics.calibrator,
            "samples": statistics.samples,
            "data": statistics.data,
            "preprocess": statistics.preprocess,
            "input_shapes": shapes,
            "tensors": [
                _tensor_dict(n, statistics.tensors[n], self.amaxes[n], histogram=self.histograms)
                for n in self.tensors
            ],
        }


def summarize(
    calibration: Statistics | str | Path,
    tensors: str | Sequence[str] = (),
    *,
    percentile: float = PERCENTILE,
    sort: Sort = "outliers",
    limit: int | None = None,
) -> CalibrationSummary:
    """Show what was observed of each tensor, and the amax that each method reads from it.

    `tensors` are names or globs, and their histograms are shown; without them all tensors are
    shown in a table. Tensors with NaN or Inf come first, then those whose maximum is farthest
    beyond their percentile, unless `sort` is "name". Raises OQ443 for an unknown tensor or a
    percentile that does not exist, and OQ410, OQ412 and OQ440 for the file.
    """
    if not 0 < percentile <= 100:
        raise error("OQ443", f"there is no percentile {percentile:g}", fix="99.99 is usual")
    require_choice("sort", sort, Sort)
    statistics = _loaded(calibration)
    chosen = _chosen(statistics, (tensors,) if isinstance(tensors, str) else tensors)
    amaxes = {name: summary.amaxes(t, percentile) for name, t in chosen.items()}
    names = sorted(chosen) if sort == "name" else summary.order(chosen, amaxes)
    return CalibrationSummary(
        statistics=statistics,
        tensors=tuple(names[:limit]),
        amaxes=amaxes,
        percentile=percentile,
        histograms=bool(tensors),
        hidden=len(names) - len(names[:limit]),
    )


def _chosen(statistics: Statistics, patterns: Sequence[str]) -> dict[str, TensorStatistics]:
    """The tensors that names or globs pick, all without one (OQ443)."""
    tensors = dict(statistics.tensors)
    if not patterns:
        return tensors
    picked: dict[str, TensorStatistics] = {}
    for pattern in patterns:
        try:
            regex = name_pattern(pattern)
        except InvalidMatchError as reason:
            raise error("OQ443", f"--tensor '{pattern}': {reason}", fix=reason.fix) from None
        names = [pattern] if pattern in tensors else [n for n in tensors if regex.fits(n)]
        if not names:
            raise error(
                "OQ443",
                f"no tensor of the calibration is called '{pattern}'",
                fix=did_you_mean(
                    pattern, tensors, otherwise="'onnxq calib show' lists them; * stops at /"
                ),
            )
        picked |= {name: tensors[name] for name in names}
    return picked


def _tensor_dict(
    name: str, tensor: TensorStatistics, amaxes: Mapping[str, float], *, histogram: bool
) -> dict[str, Any]:
    values = {"name": name, **tensor.to_dict(), "amax": dict(amaxes)}
    bits = tensor.histogram
    if not histogram or bits is None:
        return values
    outliers = summary.outliers(bits)
    methods = {method: asdict(summary.effect(bits, amax)) for method, amax in amaxes.items()}
    for method in methods.values():
        sqnr = method["sqnr_db"]
        method["sqnr_db"] = sqnr if sqnr is not None and isfinite(sqnr) else None
    return {
        **values,
        "outliers": None if outliers is None else asdict(outliers),
        "methods": methods,
        "histogram": {
            "lower": bits.lower_edges().tolist(),
            "upper": bits.upper_edges().tolist(),
            "counts": bits.counts.tolist(),
        },
    }
