"""Several Q/DQ models of one float model side by side, as text."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath

from rich.console import Console
from rich.text import Text

from onnxq.diagnostics import Severity
from onnxq.render.tables import table
from onnxq.render.text import figure, one_line, share
from onnxq.verification import Accuracy, Comparison, CompiledReport, ModelReport, VerifyReport

FigureCell = tuple[float | None, str]  # a value to compare, of which larger is better, and its text


def side_by_side(console: Console, report: VerifyReport) -> None:
    """Print a column for each model and a row for each figure; the best of a row is bold."""
    console.print(f"{len(report.models)} Q/DQ models of {report.float_model}")
    rows = []
    for title, cells in figures(report.models):
        values = [value for value, _ in cells if value is not None]
        best = max(values) if len(set(values)) > 1 else None
        texts = [
            Text(text, "bold" if best is not None and value == best else "")
            for value, text in cells
        ]
        rows.append((Text(title), *texts))
    table(console, ("", *map(one_line, file_names([m.model for m in report.models]))), rows)


def file_names(paths: Sequence[str]) -> list[str]:
    """File names, or paths below the common folder where names are equal."""
    names = [PurePath(p).name for p in paths]
    if len(set(names)) == len(set(paths)):
        return names
    shared = os.path.commonpath([PurePath(p).parent for p in paths]) if paths else ""
    return [str(PurePath(p).relative_to(shared)) for p in paths]


def figures(models: Sequence[ModelReport]) -> Iterator[tuple[str, list[FigureCell]]]:
    """Rows of the comparison: a title, and a cell for each model."""
    for title, severity in (("lint errors", Severity.ERROR), ("lint warnings", Severity.WARNING)):
        yield title, [_count(model, severity) for model in models]
    numeric = [model.numeric for model in models if model.numeric is not None]
    for name in dict.fromkeys(o.name for n in numeric for o in n.outputs):
        yield from _output(name, models)
    detections = [m.numeric.detections if m.numeric is not None else None for m in models]
    if any(d is not None for d in detections):
        kept, new = ([getattr(d, w) if d else None for d in detections] for w in ("kept", "new"))
        yield "detections kept", [(share, figure(share, ".1%")) for share in kept]
        yield (
            "detections new",
            [(None if share is None else -share, figure(share, ".1%")) for share in new],
        )
    yield from _accuracy([n.accuracy for n in numeric], models)
    if any(model.compiled is not None or model.why_not_compiled is not None for model in models):
        for dtype in types_of([m.compiled for m in models if m.compiled is not None]):
            yield f"MACs in {dtype}", [_macs(model, dtype) for model in models]
        yield "engine MB", [_engine(model) for model in models]
    if any(model.cost is not None for model in models):
        yield "least time / FP16", [_ratio(model) for model in models]


def _count(model: ModelReport, severity: Severity) -> FigureCell:
    count = sum(d.severity is severity for d in model.lint)
    return (-count, str(count))


def part_name(part: Comparison) -> str:
    """The name of a part, without that of its output."""
    return one_line(part.where if part.where and part.name.endswith(part.where) else part.name)


def _output(name: str, models: Sequence[ModelReport]) -> Iterator[tuple[str, list[FigureCell]]]:
    outputs = [
        next((o for o in m.numeric.outputs if o.name == name), None) if m.numeric else None
        for m in models
    ]
    yield from _comparison(name, outputs)
    kept = [o.rows.kept_share if o is not None and o.rows is not None else None for o in outputs]
    if any(share is not None for share in kept):
        yield f"rows kept, {name}", [(share, figure(share, ".1%")) for share in kept]
    for part in dict.fromkeys(p.name for o in outputs if o is not None for p in o.parts):
        yield from _comparison(
            part,
            [next((p for p in o.parts if p.name == part), None) if o else None for o in outputs],
        )


def _comparison(
    name: str, figures: Sequence[Comparison | None]
) -> Iterator[tuple[str, list[FigureCell]]]:
    if any(o is not None and (o.is_float or o.problem) for o in figures):
        yield f"SQNR dB, {name}", [_of(o, lambda c: c.sqnr_db, ".2f") for o in figures]
        yield f"worst dB, {name}", [_of(o, lambda c: c.worst_sqnr_db, ".2f") for o in figures]
        yield f"cosine, {name}", [_of(o, lambda c: c.cosine, ".6f") for o in figures]
    else:
        yield f"equal, {name}", [_of(o, lambda c: c.equal, ".1%") for o in figures]


def _accuracy(
    accuracies: Sequence[Accuracy | None], models: Sequence[ModelReport]
) -> Iterator[tuple[str, list[FigureCell]]]:
    first = next((a for a in accuracies if a is not None), None)
    if first is None:
        return
    by_model = [m.numeric.accuracy if m.numeric is not None else None for m in models]

    def shares(get: Callable[[Accuracy], float | None]) -> list[FigureCell]:
        values = [None if accuracy is None else get(accuracy) for accuracy in by_model]
        return [(value, figure(value, ".1%")) for value in values]

    yield f"top-1, FP32 {first.float_top1:.1%}", shares(lambda a: a.top1)
    if first.float_top5 is not None:
        yield f"top-5, FP32 {first.float_top5:.1%}", shares(lambda a: a.top5)
    yield "same first class", shares(lambda a: a.agreement)


def _of(
    output: Comparison | None, get: Callable[[Comparison], float | None], form: str
) -> FigureCell:
    if output is None:
        return (None, "failed")
    value = get(output)
    return (value, figure(value, form))


def types_of(compiled: Sequence[CompiledReport]) -> list[str]:
    """The quantized types in which any of the models computes; int8 if there is none."""
    counts = [count for report in compiled for count in report.counts.values()]
    types = [t for t in ("int8", "fp8", "int4") if any(getattr(c, t) for c in counts)]
    return types or ["int8"]


def _macs(model: ModelReport, dtype: str) -> FigureCell:
    if model.compiled is None:
        return (None, _why_not(model))
    shares = model.compiled.macs
    value = None if shares is None else shares.get(dtype, 0.0)
    return (value, "-" if value is None else share(value))


def _engine(model: ModelReport) -> FigureCell:
    if model.compiled is None:
        return (None, _why_not(model))
    size = model.compiled.engine_bytes
    return (-size, f"{size / 1e6:.1f}")


def _ratio(model: ModelReport) -> FigureCell:
    ratio = model.cost.ratio if model.cost is not None else None
    return (None if ratio is None else -ratio, figure(ratio, ".2f"))


def _why_not(model: ModelReport) -> str:
    failed = model.why_not_compiled
    return "failed" if failed is not None and failed.severity is Severity.ERROR else "-"
