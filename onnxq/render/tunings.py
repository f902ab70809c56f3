"""A tuned recipe as text: what was tried, what was chosen, and the verdict."""

from __future__ import annotations

import math
import shlex

from rich.console import Console

from onnxq.diagnostics import counted
from onnxq.render.tables import table
from onnxq.render.text import share
from onnxq.tuning.search import Trial
from onnxq.tuning.tuned import Tuned

_BAR = 20  # columns


def tuned(console: Console, result: Tuned) -> None:
    """Print the trade, the rules, the verdict and what to do next."""
    _trade(console, result)
    for rule in result.rules:
        console.print(f"{', '.join(rule.nodes)}: {rule.why[0].lower()}{rule.why[1:]}")
    console.print(verdict(result))
    console.print(tried_on(result))
    _next(console, result)


def _trade(console: Console, result: Tuned) -> None:
    unit = result.goal.unit
    figures = [t.figures.figure for t in result.trials if math.isfinite(t.figures.figure)]
    low, high = min(figures, default=0.0), max(figures, default=0.0)
    rows = [
        (
            "chosen" if trial is result.chosen else "",
            share(trial.int8),
            str(float_ops(trial)),
            str(trial.conversions),
            result.goal.number(trial.figures.figure),
            _bar(trial.figures.figure, low, high),
        )
        for trial in result.trials
    ]
    columns = ("", "MACs in int8", "ops in float", "conversions", unit, "")
    table(console, columns, rows)


def _bar(figure: float, low: float, high: float) -> str:
    if not math.isfinite(figure) or high <= low:
        return ""
    return ("\N{FULL BLOCK}" * round(1 + (_BAR - 1) * (figure - low) / (high - low))).ljust(_BAR)


def float_ops(trial: Trial) -> int:
    """How many ops a trial leaves in float."""
    return sum(len(unit.nodes) for unit in trial.units)


def verdict(result: Tuned) -> str:
    """The figures before and after, on the samples of the verdict."""
    goal, judged = result.goal, result.samples[-1]
    asked = "" if result.least is None else f", asked {goal.text(result.least)}"
    of_float = "" if result.float_score is None else f", float {goal.text(result.float_score)}"
    before, after = (goal.text(f.figure) for f in (result.before, result.verdict))
    return (
        f"{figure_name(result)}: {before} before, {after} tuned{_error(result)}{asked}{of_float}, "
        f"on {counted(judged, 'sample')} that neither improvers nor the search saw{_looked(result)}"
    )


def _error(result: Tuned) -> str:
    """How sure the verdict is."""
    error = result.verdict.error_db
    return f" (standard error {error:.2g} dB)" if error and result.goal.scorer is None else ""


def figure_name(result: Tuned) -> str:
    """What the figure of the goal is."""
    return result.goal.unit if result.goal.scorer else "SQNR of the worst part"


def tried_on(result: Tuned) -> str:
    """Which samples the figures of the trials are of."""
    fitted, searched, _ = result.samples
    table_of = f"the table has figures of {counted(searched, 'sample')} that the search saw"
    if result.improvement is None:
        return table_of
    return (
        f"improvers were fitted on {fitted} others; {table_of}, "
        "with the improvers that keep the float model"
    )


def _looked(result: Tuned) -> str:
    """How often the samples of the verdict were looked at, which flatters from the second on."""
    if result.looks < 2:
        return ""
    return f" (verdict {result.looks}: those before asked for more in float)"


def _next(console: Console, result: Tuned) -> None:
    if result.path is None:
        return
    count = len(result.rules)
    console.print(f"{result.path}: extends {result.extends} by {counted(count, 'rule')}")
    words = ["onnxq", "insert", result.model, "--rules", str(result.path)]
    if result.calibration is not None:
        words += ["--calibration", str(result.calibration)]
    if result.improvement is not None and result.improvement.path is not None:
        words += ["--improvement", str(result.improvement.path)]
    console.print(f"next: {shlex.join(words)}", soft_wrap=True)  # to be copied whole
