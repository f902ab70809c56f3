"""Several Q/DQ models beside one float model, as text."""

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

Cell = tuple[float | None, str]  # what is compared, larger is better, and what is shown


def side_by_side(console: Console, report: VerifyReport) -> None:
    """Print a column a model and a row a figure; the best of a row is bold."""
    console.print(f"{len(report.models)} Q/DQ models of {report.float_model}")
    rows = []
    for title, cells in figures(report.models):
        known = [value for value, _ in cells if value is not None]
        best = max(known) if len(set(known)) > 1 else None
        texts = [
            Text(text, "bold" if best is not None and value == best else "")
            for value, text in cells
        ]
        rows.append((Text(title), *texts))
    table(console, ("", *map(one_line, file_names([m.model for m in report.models]))), rows)


def file_names(paths: Sequence[str]) -> list[str]:
    """File names, or as much of the paths as tells them apart."""
    names = [PurePath(p).name for p in paths]
    if len(set(names)) == len(set(paths)):
        return names
    shared = os.path.commonpath([PurePath(p).parent for p in paths]) if paths else ""
    return [str(PurePath(p).relative_to(shared)) for p in paths]


def figures(models: Sequence[ModelReport]) -> Iterator[tuple[str, list[Cell]]]:
    """What there is to compare: a title, and a cell for each model."""
    for title, severity in (("lint errors", Severity.ERROR), ("lint warnings", Severity.WARNING)):
        yield title, [_count(model, severity) for model in models]
    numeric = [model.numeric for model in models if model.numeric is not None]
    for name in dict.fromkeys(o.name for n in numeric for o in n.outputs):
        yield from _output(name, models)
    yield from _accuracy([n.accuracy for n in numeric], models)
    if any(model.compiled is not None or model.why_not_compiled is not None for model in models):
        for dtype in types_of([m.compiled for m in models if m.compiled is not None]):
            yield f"MACs in {dtype}", [_macs(model, dtype) for model in models]
        yield "engine MB", [_engine(model) for model in models]


def _count(model: ModelReport, severity: Severity) -> Cell:
    count = sum(d.severity is severity for d in model.lint)
    return (-count, str(count))


def _output(name: str, models: Sequence[ModelReport]) -> Iterator[tuple[str, list[Cell]]]:
    found = [
        next((o for o in m.numeric.outputs if o.name == name), None) if m.numeric else None
        for m in models
    ]
    if any(o is not None and (o.is_float or o.problem) for o in found):
        yield f"SQNR dB, {name}", [_of(o, lambda c: c.sqnr_db, ".2f") for o in found]
        yield f"worst dB, {name}", [_of(o, lambda c: c.worst_sqnr_db, ".2f") for o in found]
        yield f"cosine, {name}", [_of(o, lambda c: c.cosine, ".6f") for o in found]
    else:
        yield f"equal, {name}", [_of(o, lambda c: c.equal, ".1%") for o in found]


def _accuracy(
    known: Sequence[Accuracy | None], models: Sequence[ModelReport]
) -> Iterator[tuple[str, list[Cell]]]:
    first = next((a for a in known if a is not None), None)
    if first is None:
        return
    found = [m.numeric.accuracy if m.numeric is not None else None for m in models]

    def shares(get: Callable[[Accuracy], float | None]) -> list[Cell]:
        values = [None if one is None else get(one) for one in found]
        return [(value, figure(value, ".1%")) for value in values]

    yield f"top-1, FP32 {first.float_top1:.1%}", shares(lambda a: a.top1)
    if first.float_top5 is not None:
        yield f"top-5, FP32 {first.float_top5:.1%}", shares(lambda a: a.top5)
    yield "same first class", shares(lambda a: a.agreement)


def _of(output: Comparison | None, get: Callable[[Comparison], float | None], form: str) -> Cell:
    if output is None:
        return (None, "failed")
    value = get(output)
    return (value, figure(value, form))


def types_of(compiled: Sequence[CompiledReport]) -> list[str]:
    """The quantized types that any of these models computes in; int8 where there is none."""
    counts = [count for report in compiled for count in report.counts.values()]
    found = [t for t in ("int8", "fp8", "int4") if any(getattr(c, t) for c in counts)]
    return found or ["int8"]


def _macs(model: ModelReport, dtype: str) -> Cell:
    if model.compiled is None:
        return (None, _why_not(model))
    shares = model.compiled.macs
    found = None if shares is None else shares.get(dtype, 0.0)
    return (found, "-" if found is None else share(found))


def _engine(model: ModelReport) -> Cell:
    if model.compiled is None:
        return (None, _why_not(model))
    size = model.compiled.engine_bytes
    return (-size, f"{size / 1e6:.1f}")


def _why_not(model: ModelReport) -> str:
    failed = model.why_not_compiled
    return "failed" if failed is not None and failed.severity is Severity.ERROR else "-"
