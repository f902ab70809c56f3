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
    if not result.steps:
        console.print("no improver ran: the rules let none act here, or all were left out")
    else:
        unit = "loss" if result.loss else "dB"
        columns = ("improver", "ops", "changed", f"{unit} before", f"{unit} after", "result")
        table(console, columns, [_cells(step, own=bool(result.loss)) for step in result.steps])
        samples = counted(result.validated, "sample")
        measure = (
            f"loss: that of {result.loss}, lower is better"
            if result.loss
            else "dB: signal to noise over the parts of all outputs"
        )
        console.print(
            f"{measure}, on {samples} that nothing was fitted on; fitted on {result.fitted} others"
        )
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
    gain = "" if result.gain_db is None else f", {result.gain_db:+.2f} dB"
    return f"{', '.join(filter(None, kinds))} changed{gain}"


def _cells(step: Step, *, own: bool) -> tuple[str, ...]:
    losses = (step.loss_before, step.loss_after)
    before, after = (f"{x:.4g}" if own else f"{decibel(x):.2f}" for x in losses)
    outcome = f"taken back: {step.why}" if step.changed else step.why
    done = "kept" if step.kept else outcome
    return (step.name, str(step.ops), str(step.changed), before, after, done)


def plan_improvers(console: Console, plan: Plan) -> None:
    """Print which improvers may act on how many ops, and the rule that lets them."""
    for (rule, improvers), ops in plan.improving.items():
        names = ", ".join(improvers) or "nothing"
        console.print(
            f"'onnxq improve' may apply {names} to {counted(ops, 'op')}, by rule '{rule}'"
        )
