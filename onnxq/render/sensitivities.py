"""The ranking of ops and pairs as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console

from onnxq.diagnostics import counted
from onnxq.render.tables import table
from onnxq.sensitivities.sensitivity import Noise, OpNoise, Sensitivity, decibel

_FEW: Final = 20  # rows, where not everything is asked for
_BAR: Final = 20  # columns


def sensitivity(console: Console, result: Sensitivity, *, everything: bool) -> None:
    """Print the ops, the worst first, the totals, and where the noise is."""
    if not result.pairs:
        console.print("no pair stands here: there is no noise to rank")
        return
    _ops(console, result, everything=everything)
    _totals(console, result)
    _summary(console, result)


def _ops(console: Console, result: Sensitivity, *, everything: bool) -> None:
    ops = result.worst_ops
    shown = ops if everything else ops[:_FEW]
    macs = sum(op.macs or 0 for op in ops)
    parts = result.parts if len(result.parts) > 1 else ("SQNR",)
    columns = ("op", "type", "noise", "", *(f"{p} dB" for p in parts), "from", "MACs", "weights")
    worst = result.share(ops[0].noise)
    rows = [_row(result, op, macs, worst) for op in shown]
    table(console, columns, rows, drop=("weights", "", *(f"{p} dB" for p in parts[4:]), "type"))
    if len(shown) < len(ops):
        rest = result.share(_sum([op.noise for op in ops[_FEW:]]))
        console.print(f"{len(ops) - _FEW} more with {rest:.1%} of the noise; --all shows them")


def _row(result: Sensitivity, op: OpNoise, macs: int, worst: float) -> tuple[str, ...]:
    share = result.share(op.noise)
    bar = "█" * round(_BAR * share / worst) if worst else ""
    work = "?" if op.macs is None else f"{op.macs / macs:.1%}" if macs else ""
    shared = f" (shared by {op.shared + 1})" if op.shared else ""
    weights = f"{op.weight_bytes / 1024:.0f} KiB" if op.weight_bytes else ""
    return (
        op.node,
        op.op,
        f"{share:.1%}",
        bar,
        *map(_db, op.noise),
        _source(op) + shared,
        work,
        weights,
    )


def _source(op: OpNoise) -> str:
    """Whether its activations or its weights bring the noise."""
    activation, weight = sum(op.activation), sum(op.weight)
    if not activation + weight:
        return "-"
    share = activation / (activation + weight)
    if 0.2 < share < 0.8:
        return "both"
    return "activations" if share >= 0.8 else "weights"


def _totals(console: Console, result: Sensitivity) -> None:
    rows = [
        (name, _db(alone), _db(added))
        for name, alone, added in zip(result.parts, result.total, result.added, strict=True)
    ]
    columns = ("output", "all pairs, dB", "each alone, added up, dB")
    table(console, columns, rows)


def _summary(console: Console, result: Sensitivity) -> None:
    ranked = {
        "gradients": "ranked by gradients",
        "switches": "ranked with one pair on at a time",
    }[result.estimator]
    count = sum(pair.is_measured for pair in result.pairs)
    console.print(
        f"noise: share of what all pairs bring alone, over the parts of all outputs; {ranked} on "
        f"{counted(result.samples, 'sample')}, the worst {count} of {len(result.pairs)} pairs "
        f"measured on {result.measured_on}"
    )
    ops = result.worst_ops
    half = next(
        (n for n in range(1, len(ops) + 1) if result.share(_sum([o.noise for o in ops[:n]])) > 0.5),
        len(ops),
    )
    total = sum(op.macs or 0 for op in ops)
    work = sum(op.macs or 0 for op in ops[:half])
    with_macs = f", with {work / total:.1%} of the MACs" if total else ""
    console.print(f"half of the noise comes from {counted(half, 'op')}{with_macs}")


def _sum(noises: Sequence[Noise]) -> Noise:
    return tuple(map(sum, zip(*noises, strict=True)))


def _db(noise: float) -> str:
    value = decibel(noise)
    return "-" if value is None else f"{value:.1f}"
