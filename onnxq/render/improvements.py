"""Improvements as text: what each improver did, and what it gained."""

from __future__ import annotations

from rich.console import Console

from onnxq.diagnostics import counted
from onnxq.improvement.improvement import Improvement
from onnxq.improvement.steps import Step, decibel
from onnxq.planning.plan import Plan
from onnxq.render.tables import table


def improvement(console: Console, result: Improvement) -> None:
    """Print a row for each improver, and the gain."""
    rows = [_cells(step) for step in result.steps]
    if rows:
        table(console, ("improver", "ops", "changed", "dB before", "dB after", "result"), rows)
    if rows:
        samples = counted(result.validated, "sample")
        console.print(
            f"dB: signal to noise over the parts of all outputs, on {samples} that nothing was "
            f"fitted on; fitted on {result.fitted} others"
        )
    else:
        console.print("no improver ran: the rules let none act here, or all were left out")
    if result.path is not None:
        console.print(f"{result.path}: {summary(result)}")


def summary(result: Improvement) -> str:
    """What changed, in a line."""
    kinds = (
        counted(len(result.constants), "constant"),
        counted(len(result.biases), "new bias") if result.biases else "",
        counted(len(result.divisors), "new divisor") if result.divisors else "",
        counted(len(result.scales), "scale"),
    )
    return f"{', '.join(filter(None, kinds))} changed, {result.gain_db:+.2f} dB"


def _cells(step: Step) -> tuple[str, ...]:
    return (
        step.name,
        str(step.ops),
        str(step.changed),
        f"{decibel(step.loss_before):.2f}",
        f"{decibel(step.loss_after):.2f}",
        "kept" if step.kept else f"taken back: {step.why}",
    )


def plan_improvers(console: Console, plan: Plan) -> None:
    """Print which improvers may act on how many ops, and the rule that lets them."""
    for (rule, improvers), ops in plan.improving.items():
        names = ", ".join(improvers) or "nothing"
        console.print(
            f"'onnxq improve' may apply {names} to {counted(ops, 'op')}, by rule '{rule}'"
        )
