"""benchmarks/RESULTS.md, from the records: every figure on it is one of theirs, or their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean

import records
from records import Cell, Record
from subjects import SUBJECTS
from ways import WAYS

PAGE = Path(__file__).parent / "RESULTS.md"
NONE = "-"
SHARES = {"top1": "top-1", "agreement": "same class", "kept": "kept", "new": "new"}
INTRODUCTION = """# INT8 by onnxq and by its peers

`python benchmarks/accuracy.py --write` makes this page from the records in `benchmarks/results/`;
no figure is typed by hand. All tools get the same model and the same calibration samples, and their
files are judged on other samples, as written: onnxruntime computes each op, without optimizations.

- SQNR in dB against the float model, higher is better, by output, or by part where an output has
  parts of different power: the mean of the calibration sets, and (lowest to highest) of several.
- top-1: the right class is first. The pictures may be of those that trained the models, so that
  only the difference from the float model counts; a difference of 4 or 5 in 400 pictures may be
  chance. Same class: the first class is that of the float model; this share tells files apart
  better.
- kept and new: float detections that INT8 has too (same class, intersection over union of 0.5),
  and those that it adds, both as shares of the float ones.
- int8: weighted ops, and share of their multiplications, that TensorRT-RTX compiles to INT8, for
  the first set. A file that it cannot build is worth nothing there, whatever its SQNR.
- conv.: kernels of that engine that only convert, such as from INT8 to float.
- AIMET's own placement has pairs behind all ops, also on outputs with boxes beside scores. A
  placement by hand may give it more.
- Seconds and memory are those of the tool's process, start and imports included. Other work ran on
  the machine, so that the seconds on the clock say little; those of the processors say more.
"""


def text() -> str:
    """The whole page."""
    found = [record for name in SUBJECTS if (record := records.load(name)) is not None]
    sections = [INTRODUCTION, _summary(found), *map(_model, found), _missing(found)]
    return "\n".join([*sections, _versions(found)])


def line(cell: Cell) -> str:
    """One cell in one line, for the screen."""
    head = f"{cell.way} set {cell.set}:"
    if cell.scores is None:
        return f"{head} {cell.problem}"
    shown = [f"{name} {db:.1f} dB" for name, db in cell.scores.sqnr_db.items()]
    shares = {name: getattr(cell.scores, name) for name in SHARES}
    shown += [f"{name} {100 * share:.1f} %" for name, share in shares.items() if share is not None]
    if cell.cost is not None:
        shown.append(f"{cell.cost.cpu_s} CPU s, {cell.cost.peak_mib:.0f} MiB")
    if cell.compiled is not None:
        shown.append(cell.compiled.problem or f"{cell.compiled.int8}/{cell.compiled.weighted} int8")
    return " ".join([head, ", ".join(shown)])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _summary(found: Sequence[Record]) -> str:
    """The lowest SQNR of all outputs and parts, a column a model; the best one of each is bold."""
    columns = []
    for record in found:
        figures = {way: _scored(record, way, lambda cell: cell.scores.worst_db) for way in WAYS}
        means = {way: round(mean(values), 1) for way, values in figures.items() if values}
        column = {}
        for way, values in figures.items():
            bold = "**" * (bool(values) and means[way] == max(means.values()))
            int8 = _compiled(record.of(way))[0]
            column[way] = f"{bold}{_spread(values)}{bold}, {int8}" if values else NONE
        columns.append(column)
    rows = [[WAYS[way].title, *(column[way] for column in columns)] for way in WAYS]
    head = ["SQNR of the worst part, dB, and int8 ops", *(SUBJECTS[r.model].title for r in found)]
    return f"## All models\n\n{table(head, rows)}"


def _scored(record: Record, way: str, figure: Callable[[Cell], float | None]) -> list[float]:
    """A figure of the cells of a way that have scores."""
    figures = [figure(cell) for cell in record.of(way) if cell.scores is not None]
    return [value for value in figures if value is not None]


def _spread(values: Sequence[float], digits: int = 1) -> str:
    if not values:
        return NONE
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    low, high = min(values), max(values)
    return f"{mean(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _model(record: Record) -> str:
    """A section with all figures of one model."""
    measured = [way for way in WAYS if any(cell.scores for cell in record.of(way))]
    parts = list(
        dict.fromkeys(p for c in record.cells if c.scores is not None for p in c.scores.sqnr_db)
    )
    shares = [
        share
        for share in SHARES
        if any(getattr(c.scores, share, None) is not None for c in record.cells)
    ]
    head = [
        "",
        *(f"`{part}`, dB" for part in parts),
        *(f"{SHARES[share]}, %" for share in shares),
        "int8 ops",
        "int8 MACs, %",
        "conv.",
        "s",
        "CPU s",
        "MiB",
        "sets",
    ]
    rows = [[WAYS[way].title, *_row(record, way, parts, shares)] for way in measured]
    return f"## {SUBJECTS[record.model].title}\n\n{_about(record)}\n\n{table(head, rows)}"


def _about(record: Record) -> str:
    facts = [
        f"{record.package}; {record.data}; {record.calibrated} samples calibrate, "
        f"{record.evaluated} others judge"
    ]
    if record.float_top1 is not None:
        facts.append(f"top-1 of the float model {100 * record.float_top1:.1f} %")
    if record.float_detections is not None:
        facts.append(f"{record.float_detections} detections of the float model")
    return "; ".join(facts) + "."


def _row(record: Record, way: str, parts: Sequence[str], shares: Sequence[str]) -> list[str]:
    cells = [cell for cell in record.of(way) if cell.scores is not None]
    figures = [
        _spread(_scored(record, way, lambda cell, part=part: cell.scores.sqnr_db.get(part)))
        for part in parts
    ]
    for share in shares:
        values = _scored(record, way, lambda cell, share=share: getattr(cell.scores, share))
        figures.append(_spread([100 * value for value in values]))
    costs = [cell.cost for cell in cells if cell.cost is not None]
    spent = [
        f"{mean(values):.0f}" if values else NONE
        for values in zip(*((c.wall_s, c.cpu_s, c.peak_mib) for c in costs), strict=True)
    ]
    return [*figures, *_compiled(cells), *(spent or [NONE] * 3), str(len(cells))]


def _compiled(cells: Sequence[Cell]) -> list[str]:
    built = next((cell.compiled for cell in cells if cell.compiled is not None), None)
    if built is None:
        return [NONE] * 3
    if built.problem is not None:
        return ["**no build**", "0", NONE]
    macs = NONE if built.int8_macs is None else f"{100 * built.int8_macs:.1f}"
    conversions = NONE if built.conversions is None else str(built.conversions)
    return [f"{built.int8}/{built.weighted}", macs, conversions]


def _missing(found: Sequence[Record]) -> str:
    """What failed, with the tool's own line, and what was not measured."""
    failed: dict[tuple[str, str, str], list[str]] = {}
    for record in found:
        for cell in record.cells:
            built = None if cell.compiled is None else cell.compiled.problem
            for where, problem in (("", cell.problem), ("TensorRT-RTX: ", built)):
                if problem is not None:
                    key = record.model, cell.way, f"{where}{problem}"
                    failed.setdefault(key, []).append(str(cell.set))
    lines = [
        f"- {SUBJECTS[model].title}, {WAYS[way].title}, set {', '.join(sets)}: `{problem}`"
        for (model, way, problem), sets in failed.items()
    ]
    for way in WAYS:
        absent = [SUBJECTS[r.model].title for r in found if not r.of(way)]
        if absent:
            lines.append(f"- {WAYS[way].title} was not run on {', '.join(absent)}.")
    return "## What failed, and what was not measured\n\n" + "\n".join([*lines, ""])


def _versions(found: Sequence[Record]) -> str:
    rows = []
    for way in WAYS:
        cells = [cell for record in found for cell in record.of(way) if cell.versions]
        if not cells:
            continue
        seen = dict.fromkeys(
            ", ".join(f"{name} {version}" for name, version in cell.versions.items())
            for cell in cells
        )
        dates = sorted({cell.date for cell in cells})
        days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        rows.append([WAYS[way].title, "; ".join(seen), days])
    built = sorted({c.compiled.version for r in found for c in r.cells if c.compiled is not None})
    machines = sorted({cell.machine for record in found for cell in record.cells})
    listed = table(["", "versions", "measured"], rows)
    return (
        f"## Versions\n\n{listed}\nCompiled by TensorRT-RTX {', '.join(built)}; "
        f"measured on {', '.join(machines)}.\n"
    )
