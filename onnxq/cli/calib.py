"""onnxq calib: join calibration files, and show what is in one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from onnxq.cli import finding, options, paths
from onnxq.cli.grouped import grouped
from onnxq.cli.screen import QuietScreen, Screen
from onnxq.diagnostics import Diagnostic, OnnxqError, counted, did_you_mean, error, warning

if TYPE_CHECKING:
    from onnxq.calibration.statistics import Statistics, TensorStatistics

HELP = "Join calibration files, and show what is in one."

app = typer.Typer(no_args_is_help=True, help=HELP)


@app.command(epilog="Example: `onnxq calib merge part-*.npz -o model.calib.npz`")
@grouped
def merge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Calibrations to add.")],
    *,
    output: Annotated[Path, options.option("-o --output FILE", "Where to write.")],
    screen: QuietScreen,
) -> None:
    """Add calibrations of one model: the file of a single run over all their data, bit for bit."""
    from functools import reduce
    from operator import add

    from onnxq import render
    from onnxq.calibration.statistics import Statistics

    paths.output(output, files)
    parts = {file: Statistics.load(file) for file in files}
    if len(parts) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise _counted_twice(f"'{twice}' is given twice", "give it once")
    _require_addable(parts)
    _require_other_data(parts)
    total = reduce(add, parts.values())
    total.save(output)
    found = [*_unequal(parts, total), *_shared(parts), *_infinite(total)]
    screen.tell(found)
    render.gathered(screen.out, output, total)
    screen.result({**render.gathered_dict(output, total), "parts": len(parts)}, found)


@app.command(epilog="Example: `onnxq calib show model.calib.npz --tensor '/model.0/**'`")
@grouped
def show(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="The calibration; by default the one in the working folder.",
        ),
    ] = None,
    *,
    tensor: Annotated[
        list[str] | None,
        options.option("--tensor NAME|GLOB", "Print the histogram of these tensors."),
    ] = None,
    percentile: Annotated[
        float, options.option("--percentile P", "Which percentile to read.")
    ] = 99.99,
    sort: Annotated[
        Literal["outliers", "name"],
        options.option("--sort outliers|name", "Worst outliers first, or by name."),
    ] = "outliers",
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Show so many at most; by default all."),
    ] = None,
    screen: Screen,
) -> None:
    """Show what was observed of each tensor, and the amax that each method reads from it.

    By max it is the larger of |min| and max. Tensors with NaN or Inf come first, then those whose
    max is farthest beyond their percentile.
    """
    from onnxq import render
    from onnxq.calibration import summary

    if not 0 < percentile <= 100:
        raise error("OQ443", f"there is no percentile {percentile:g}", fix="99.99 is usual")
    found, statistics = finding.calibration(file, option="'onnxq calib show FILE'")
    chosen = _chosen(statistics, tensor)
    read = {name: summary.amaxes(t, percentile) for name, t in chosen.items()}
    names = sorted(chosen) if sort == "name" else summary.order(chosen, read)
    shown = names[:limit]
    if screen.as_json:
        tensors = [_to_dict(n, chosen[n], read[n], whole=bool(tensor)) for n in shown]
        screen.result({**_head(found, statistics), "tensors": tensors})
        return
    render.calibration(screen.out, str(found), statistics)
    if tensor:
        for name in shown:
            screen.out.print()
            render.calibration_tensor(
                screen.out, name, chosen[name], read[name], f"percentile {percentile:g}"
            )
    else:
        render.calibration_tensors(screen.out, shown, statistics, read, f"{percentile:g}%")
    if len(shown) < len(names):
        screen.out.print(f"{len(names) - len(shown)} more; without --limit all are shown")


def _require_addable(parts: Mapping[Path, Statistics]) -> None:
    first, *others = parts
    for other in others:
        differs = parts[first].difference(parts[other])
        if differs:
            raise error(
                "OQ418",
                f"'{first}' and '{other}' do not add: {differs}",
                fix="add calibrations that were made alike from one model",
            )


def _require_other_data(parts: Mapping[Path, Statistics]) -> None:
    """Raise OQ441 when a file holds the same data as another, or as all others together."""
    from onnxq.calibration.statistics import add_digests

    by_data: dict[str, Path] = {}
    for file, part in parts.items():
        if part.samples and part.data_digest in by_data:
            told = f"'{by_data[part.data_digest]}' and '{file}' hold the same data"
            raise _counted_twice(told, f"leave '{file}' out")
        by_data[part.data_digest] = file
    for file, part in parts.items():
        others = [p for f, p in parts.items() if f != file]
        if part.samples and part.data_digest == add_digests(*(p.data_digest for p in others)):
            told = f"'{file}' holds the data of all the others together"
            raise _counted_twice(told, f"leave '{file}' out")


def _counted_twice(told: str, fix: str) -> OnnxqError:
    return error("OQ441", f"{told}: it would be counted twice", fix=fix)


def _unequal(parts: Mapping[Path, Statistics], total: Statistics) -> list[Diagnostic]:
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


def _shared(parts: Mapping[Path, Statistics]) -> list[Diagnostic]:
    """Tell of samples that were counted in a file before, as in shards cut in different ways."""
    owner: dict[str, Path] = {}
    found = []
    for file, part in parts.items():
        before = [owner[one] for one in part.sample_digests if one in owner]
        if before:
            told = f"{len(before)} of {counted(part.samples, 'sample')} of '{file}' are in "
            found.append(
                warning(
                    "OQ441",
                    f"{told}'{before[0]}' too",
                    fix="leave one out, unless the data itself holds them twice",
                )
            )
        for one in part.sample_digests:
            owner.setdefault(one, file)
    return found


def _infinite(total: Statistics) -> list[Diagnostic]:
    """Tell of infinite values in the data, of all parts together."""
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


def _chosen(statistics: Statistics, patterns: Sequence[str] | None) -> dict[str, TensorStatistics]:
    """The tensors that a name or a glob picks, all without one (OQ443)."""
    from onnxq.planning.selectors.base import InvalidMatchError
    from onnxq.planning.selectors.basic import name_pattern

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


def _head(file: Path, statistics: Statistics) -> dict[str, Any]:
    return {
        "calibration": str(file),
        "model": None if statistics.model_path is None else str(statistics.model_path),
        "model_digest": statistics.model_digest,
        "data_digest": statistics.data_digest,
        "calibrator": statistics.calibrator,
        "samples": statistics.samples,
        "data": statistics.data,
        "preprocess": statistics.preprocess,
        "input_shapes": {name: list(shape) for name, shape in statistics.input_shapes.items()},
    }


def _to_dict(
    name: str, tensor: TensorStatistics, read: Mapping[str, float], *, whole: bool
) -> dict[str, Any]:
    from dataclasses import asdict

    from onnxq.calibration import summary

    seen, histogram = tensor.range, tensor.histogram
    told = {
        "name": name,
        "samples": tensor.samples,
        "values": seen.count,
        "nan": seen.nan,
        "inf": seen.inf,
        "zeros": summary.zeros(tensor),
        "min": seen.minimum if seen.finite else None,
        "max": seen.maximum if seen.finite else None,
        "amax": dict(read),
    }
    if not whole or histogram is None:
        return told
    found = summary.outliers(histogram)
    choices = {method: asdict(summary.effect(histogram, amax)) for method, amax in read.items()}
    for made in choices.values():
        made["sqnr_db"] = made["sqnr_db"] if _finite(made["sqnr_db"]) else None
    bins = {
        "lower": histogram.lower_edges().tolist(),
        "upper": histogram.upper_edges().tolist(),
        "counts": histogram.counts.tolist(),
    }
    return {
        **told, "outliers": None if found is None else asdict(found), "methods": choices,
        "histogram": bins,
    }  # fmt: skip


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
