"""The ranking of ops and pairs as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from rich.console import Console

from onnxq.diagnostics import counted
from onnxq.render.calibrations import short_count
from onnxq.render.tables import table
from onnxq.render.text import figure, one_line, share
from onnxq.sensitivities.sensitivity import Noise, OpNoise, PairNoise, Sensitivity, decibel

_FEW: Final = 20  # rows, where not everything is asked for
_NAMES: Final = 3  # in a sentence
_BAR: Final = 16  # columns
_FAR: Final = 0.5  # dB: a sum that is as near as this to the total needs no word
_KINDS: Final = {"activation": "activations", "weight": "weights"}


def sensitivity(console: Console, result: Sensitivity, *, everything: bool) -> None:
    """Print the ops, the worst first, the totals, and where the noise is; with everything pairs."""
    if not result.pairs:
        console.print("no pair stands here: there is no noise to rank")
        return
    _ops(console, result, everything=everything)
    if everything:
        _pairs(console, result)
    _totals(console, result)
    for line in (how(result), where(result), *adding_up(result)):
        console.print(line)


def _ops(console: Console, result: Sensitivity, *, everything: bool) -> None:
    ops = result.worst_ops
    shown = ops if everything else ops[:_FEW]
    macs = all_macs(result)
    columns = (
        *("op", "type", "noise", "bar", "so far", "activations", "weights", "alone, dB"),
        *("shared with", "MACs", "float weights"),
    )
    rows = [
        _row(result, op, macs, result.share(result.together(names)))
        for op, names in zip(shown, accumulate([(op.node,) for op in shown]), strict=True)
    ]
    drop = ("float weights", "bar", "shared with", "type", "alone, dB")
    table(console, columns, rows, drop=drop, texts=("alone, dB",))
    if len(shown) < len(ops):
        rest = 1 - result.share(result.together([op.node for op in shown]))
        left = f"{len(ops) - _FEW} more with {share(max(rest, 0))} of the noise"
        console.print(f"{left}; --all shows them, and every pair")


def _row(result: Sensitivity, op: OpNoise, macs: int | None, so_far: float) -> tuple[str, ...]:
    own, worst = result.share(op.noise), result.share(result.worst_ops[0].noise)
    bar = "\N{FULL BLOCK}" * round(_BAR * own / worst) if worst else ""
    return (
        one_line(op.node),
        op.op,
        share(own),
        bar.ljust(_BAR, "\N{MIDDLE DOT}"),
        share(so_far),
        share(result.share(op.activation)),
        share(result.share(op.weight)),
        lowest(result, op.noise),
        counted(op.shared, "op") if op.shared else "",
        work(op, macs),
        f"{short_count(op.weight_bytes)}B" if op.weight_bytes else "",
    )


def all_macs(result: Sensitivity) -> int | None:
    """The MACs of all ops; None where those of one are unknown."""
    known = [op.macs for op in result.ops if op.macs is not None]
    return sum(known) if len(known) == len(result.ops) else None


def work(op: OpNoise, macs: int | None) -> str:
    """The share of all MACs, else their number; '' for an op that has none."""
    if op.macs is None:
        return "?"
    if not op.macs:
        return ""
    return short_count(op.macs) if macs is None else share(op.macs / macs)


def lowest(result: Sensitivity, noise: Noise) -> str:
    """The lowest SQNR in dB, and in which of several parts it is."""
    worst = max(range(len(noise)), key=lambda i: noise[i])
    db = decibel(noise[worst])
    some = len(noise) > 1 and math.isfinite(db)
    return f"{db:.1f} in {one_line(result.parts[worst])}" if some else f"{db:.1f}"


def _pairs(console: Console, result: Sensitivity) -> None:
    columns = ("pair on", "kind", "type", "noise", "alone, dB", "figure", "read by")
    rows = [
        (
            one_line(pair.tensor),
            pair.kind,
            pair.descriptor,
            share(result.share(pair.noise)),
            lowest(result, pair.noise),
            figure_from(result, pair),
            ", ".join(map(one_line, pair.nodes)),
        )
        for pair in result.pairs
    ]
    drop = ("type", "figure", "alone, dB")
    table(console, columns, rows, drop=drop, texts=("read by", "alone, dB"))


def figure_from(result: Sensitivity, pair: PairNoise) -> str:
    """Where the figure of a pair is from."""
    if pair.is_measured:
        return "measured"
    return "gradients" if result.estimator == "gradients" else "few runs"


def _totals(console: Console, result: Sensitivity) -> None:
    rows = [
        (one_line(name), f"{total:.1f}", f"{added:.1f}", figure(apart, "+z.1f"))
        for name, total, added, apart in totals(result)
    ]
    columns = ("output", "all pairs, dB", "each alone, added up, dB", "does not add up, dB")
    table(console, columns, rows)


def totals(result: Sensitivity) -> Iterator[tuple[str, float, float, float | None]]:
    """For each part its name, and in dB: all pairs, each alone added up, by how much they differ.

    The last is positive where all pairs together bring less noise; None for infinite figures.
    """
    for name, *noises in zip(result.parts, result.total, result.added, strict=True):
        total, added = map(decibel, noises)
        yield name, total, added, total - added if math.isfinite(total - added) else None


def how(result: Sensitivity) -> str:
    """What noise means, and how it was ranked."""
    ranked = {
        "gradients": "ranked by gradients",
        "switches": "ranked with one pair on at a time",
    }[result.estimator]
    count, every = sum(pair.is_measured for pair in result.pairs), len(result.pairs)
    which = "every pair" if count == every else f"the worst {count} of {every} pairs"
    return (
        "noise: share of what all pairs bring, each alone, in the mean over the parts of all "
        f"outputs; {ranked} on {counted(result.samples, 'sample')}, {which} measured on "
        f"{result.measured_on}"
    )


def where(result: Sensitivity) -> str:
    """The pairs that bring half of the noise, the ops that read them, and their MACs."""
    if not any(result.added):
        return "no pair brings any noise"
    pairs = result.half
    nodes = list(dict.fromkeys(node for pair in pairs for node in pair.nodes))
    macs = all_macs(result)
    own = sum(op.macs or 0 for op in result.ops if op.node in nodes)
    with_macs = f", with {share(own / macs)} of the MACs" if macs else ""
    kinds = {_KINDS[pair.kind] for pair in pairs}
    on = f" on {kinds.pop()}" if len(kinds) == 1 else ""
    named = f": {', '.join(map(one_line, nodes))}" if len(nodes) <= _NAMES else ""
    return (
        f"half of the noise comes from {len(pairs)} of {counted(len(result.pairs), 'pair')}{on}, "
        f"which {counted(len(nodes), 'op')} read{'s' * (len(nodes) == 1)}{with_macs}{named}"
    )


def adding_up(result: Sensitivity) -> Sequence[str]:
    """Why the figures of pairs do not add up to that of all, where that is so."""
    apart = [x for *_, x in totals(result) if x is not None]
    if not any(abs(x) > _FAR for x in apart):
        return ()
    less = "bring less noise together than alone: large errors saturate, or cancel"
    more = "bring more noise together than alone: one error makes others worse"
    return tuple(
        f"pairs {text}"
        for text, is_so in (
            (less, any(x > _FAR for x in apart)),
            (more, any(x < -_FAR for x in apart)),
        )
        if is_so
    )
