"""Text of each result of the library, for the commands, for `print` and for notebooks."""

from __future__ import annotations

import io
from functools import singledispatch
from typing import Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from onnxq.api.caches import ExportedCache, ImportedCache
from onnxq.api.calibrations import PERCENTILE, CalibrationSummary, summarize
from onnxq.api.diagnosing import Doctor
from onnxq.api.explaining import CodeExplanation, Explanations
from onnxq.api.inserted import InsertResult
from onnxq.api.linting import LintReport, StripResult
from onnxq.api.loaders import DataLoader
from onnxq.api.quantizing import QuantizeResult
from onnxq.calibration import summary
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.diagnostics import Severity, counted
from onnxq.improvement.improvement import Improvement
from onnxq.insertion.scales import Scales
from onnxq.planning.plan import Plan
from onnxq.planning.plan_changes import PlanChanges
from onnxq.render import (
    calibrations,
    checkups,
    endings,
    explanations,
    findings,
    html,
    improvements,
    plans,
    reports,
    sensitivities,
    trainings,
    tunings,
    verdicts,
)
from onnxq.sensitivities.sensitivity import Sensitivity
from onnxq.training.trained import Trained
from onnxq.tuning.tuned import Tuned
from onnxq.verification.report import VerifyReport

_WIDTH: Final = 100  # columns of text without a terminal
_RED, _GREEN, _YELLOW = (225, 50, 44), (7, 138, 51), (158, 110, 0)
_BLUE, _MAGENTA, _CYAN = (21, 113, 243), (195, 57, 195), (0, 132, 149)
_GREY: Final = (119, 119, 119)
# The relative luminance of every colour is 0.185, so all are readable on white and on black.
_COLORS: Final = [_GREY, _RED, _GREEN, _YELLOW, _BLUE, _MAGENTA, _CYAN, _GREY]
_THEME: Final = TerminalTheme((255, 255, 255), (0, 0, 0), _COLORS)
_PRE: Final = (
    "margin:0.5em;overflow-x:auto;line-height:1.15;"
    "font-family:Menlo,Consolas,'DejaVu Sans Mono',monospace;"
    "font-size:var(--jp-code-font-size,13px)"
)


@singledispatch
def show(result: object, console: Console, *, everything: bool = False) -> None:
    """Print a result without its diagnostics; with `everything` no list is cut."""
    raise TypeError(f"onnxq does not show a {type(result).__name__}")


@show.register
def _(result: Statistics, console: Console, *, everything: bool = False) -> None:
    show(summarize(result), console)


@show.register
def _(result: TensorStatistics, console: Console, *, everything: bool = False) -> None:
    amaxes = summary.amaxes(result, PERCENTILE)
    calibrations.calibration_tensor(console, "", result, amaxes, f"percentile {PERCENTILE:g}")


@show.register
def _(result: CalibrationSummary, console: Console, *, everything: bool = False) -> None:
    statistics, percentile = result.statistics, f"{result.percentile:g}"
    name = "statistics" if statistics.path is None else str(statistics.path)
    calibrations.calibration(console, name, statistics)
    if not result.histograms:
        calibrations.calibration_tensors(
            console, result.tensors, statistics, result.amaxes, f"{percentile}%"
        )
    for tensor in result.tensors if result.histograms else ():
        console.print()
        amaxes, label = result.amaxes[tensor], f"percentile {percentile}"
        calibrations.calibration_tensor(console, tensor, statistics.tensors[tensor], amaxes, label)
    if result.hidden:
        console.print(f"{result.hidden} more: the limit is {len(result.tensors)}")


@show.register
def _(result: Improvement, console: Console, *, everything: bool = False) -> None:
    improvements.improvement(console, result)


@show.register
def _(result: Sensitivity, console: Console, *, everything: bool = False) -> None:
    sensitivities.sensitivity(console, result, everything=everything)


@show.register
def _(result: Trained, console: Console, *, everything: bool = False) -> None:
    trainings.trained(console, result)


@show.register
def _(result: Tuned, console: Console, *, everything: bool = False) -> None:
    tunings.tuned(console, result)


@show.register
def _(result: Plan, console: Console, *, everything: bool = False) -> None:
    plans.plan_summary(console, result)
    improvements.plan_improvers(console, result)
    plans.plan_lines(console, result.lines)


@show.register
def _(result: PlanChanges, console: Console, *, everything: bool = False) -> None:
    plans.changes(console, result)


@show.register
def _(result: Scales, console: Console, *, everything: bool = False) -> None:
    plans.scales(console, result)


@show.register
def _(result: InsertResult, console: Console, *, everything: bool = False) -> None:
    plans.plan_summary(console, result.plan)
    if result.float_rest is not None:
        plans.float_rest(console, result.float_rest)
    for preparation in result.preparations:
        console.print(str(preparation))
    statistics, plan = result.statistics, result.plan
    path = None if statistics is None else statistics.path
    calibration = "a calibration without a file" if path is None else f"calibration {path}"
    made_with = "which needs no calibration" if statistics is None else calibration
    edited = ", its plan edited by hand" if plan.edited else ""
    if result.scales.edited:
        made_with += f", {counted(len(result.scales.edited), 'scale')} replaced by hand"
    if result.improvement is not None:
        console.print(f"improved: {improvements.summary(result.improvement)}")
    name = "Q/DQ model" if result.path is None else result.path
    console.print(f"{name}: recipe {plan.recipe}{edited}, {made_with}")
    if statistics is not None and statistics.is_imported:
        console.print(
            "activation ranges are those of an imported TensorRT cache: "
            "methods of the recipe do not change them"
        )


@show.register
def _(result: VerifyReport, console: Console, *, everything: bool = False) -> None:
    reports.verify_report(console, result, everything=everything)
    verdicts.of_all(console, result)


@show.register
def _(result: QuantizeResult, console: Console, *, everything: bool = False) -> None:
    if result.statistics is not None:
        calibrations.gathered(console, result.statistics)
    show(result.inserted, console)
    reports.verify_report(console, result.report, everything=everything)
    endings.ending(console, result)


@show.register
def _(result: LintReport, console: Console, *, everything: bool = False) -> None:
    lint_report(result, console, everything=everything)


def lint_report(
    result: LintReport, console: Console, *, everything: bool = False, quiet: bool = False
) -> None:
    """Print repairs, findings and the outlook; with `quiet` no notes and no outlook."""
    if result.is_repaired:
        findings.repairs(console, result.repairs, everything=everything)
    shown = [f for f in result.findings if f.severity is not Severity.INFO or not quiet]
    findings.findings(console, shown, everything=everything)
    if not quiet:
        findings.lint_summary(
            console,
            result.name,
            result.findings,
            result.outlook,
            fixed=result.is_repaired,
            everything=everything,
        )


@show.register
def _(result: StripResult, console: Console, *, everything: bool = False) -> None:
    name = "float model" if result.path is None else result.path
    console.print(
        f"{name}: {result.pairs} pairs removed, {result.dequantized} stored constants dequantized"
    )


@show.register
def _(result: Explanations, console: Console, *, everything: bool = False) -> None:
    if result.explanations:
        explanations.explanations(console, result.explanations)
    else:
        console.print(f"no node reads '{result.target}', so no rule decides it")
    explanations.improved(console, result.improved)


@show.register
def _(result: CodeExplanation, console: Console, *, everything: bool = False) -> None:
    entry = result.entry
    console.print(f"{result.code}: {entry.meaning}\n\n  {entry.example}\n\n{entry.fix}")


@show.register
def _(result: Doctor, console: Console, *, everything: bool = False) -> None:
    checkups.doctor(console, result)


@show.register
def _(result: DataLoader, console: Console, *, everything: bool = False) -> None:
    length = result.feed.length
    samples = "samples" if length is None else counted(length, "sample")
    console.print("; ".join((samples, *map(str, result.feed.inputs))))
    for note in result.notes:
        console.print(note)


@show.register
def _(result: ImportedCache, console: Console, *, everything: bool = False) -> None:
    statistics = result.statistics
    name = "statistics" if statistics.path is None else statistics.path
    ranges = f"{len(statistics.tensors)} ranges from {result.source} ({result.header})"
    console.print(f"{name}: {ranges}")


@show.register
def _(result: ExportedCache, console: Console, *, everything: bool = False) -> None:
    name = "cache" if result.path is None else result.path
    console.print(f"{name}: {len(result.scales)} scales, {result.header}")


def _console(*, for_page: bool) -> Console:
    return Console(
        file=io.StringIO(),
        width=_WIDTH,
        record=for_page,
        force_terminal=False,  # else FORCE_COLOR, which a notebook sets, puts escapes into the text
        force_jupyter=False,
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def as_text(result: object) -> str:
    """The result as plain text, for `print(result)`."""
    console = _console(for_page=False)
    show(result, console)
    assert isinstance(console.file, io.StringIO)
    lines = (line.rstrip() for line in console.file.getvalue().splitlines())
    return "\n".join(lines).strip("\n")


def as_html(result: object) -> str:
    """The result for a notebook: the same text, with its colours."""
    console = _console(for_page=True)
    show(result, console)
    code = console.export_html(theme=_THEME, inline_styles=True, code_format="{code}")
    lines = "\n".join(line.rstrip() for line in code.splitlines()).strip("\n")
    # Notebooks wrap lines of a <pre>, which breaks pictures and tables: there long lines scroll.
    is_prose = isinstance(result, Explanations | CodeExplanation)
    return f'<pre style="{_PRE};white-space:{"pre-wrap" if is_prose else "pre"}">{lines}</pre>'


@singledispatch
def as_page(result: object) -> str:
    """A result as a page that loads nothing."""
    raise TypeError(f"onnxq has no page for a {type(result).__name__}")


as_page.register(VerifyReport)(html.page)
as_page.register(Sensitivity)(html.noise_page)
as_page.register(Tuned)(html.tuned_page)
as_page.register(Plan)(html.plan_page)


def plan_page(plan: Plan, model: str) -> str:
    """A plan as a page, for a model of that name."""
    return html.plan_page(plan, model)


def require_page() -> None:
    """Raise OQ670 if a package that draws pages is not installed."""
    html.require()
