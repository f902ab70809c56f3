"""Plans and their differences as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from rich.console import Console
from rich.text import Text

from onnxq.diagnostics import counted
from onnxq.insertion.half import FloatRest
from onnxq.insertion.precision import OUT_OF_RANGE
from onnxq.insertion.scales import Scales
from onnxq.planning.coverage import by_rule, coverage
from onnxq.planning.plan import FLOAT, Line, Plan
from onnxq.planning.plan_changes import PlanChanges
from onnxq.render.tables import table
from onnxq.render.text import one_line

_FEW: Final = 3  # names of rules that matched nothing


_COLUMNS: Final = ("node", "input", "tensor", "type", "group", "rule", "at")


def plan_lines(console: Console, lines: Sequence[Line]) -> None:
    """Print decisions in columns; in a log or a pipe each is one line."""
    rows = [
        [
            Text(one_line(cell), "yellow" if line.descriptor == FLOAT else "")
            for cell in line.fields()
        ]
        for line in lines
    ]
    if rows:
        texts = ("tensor", "type", "rule", "at")
        table(console, _COLUMNS, rows, drop=("at", "group"), texts=texts, left=True)


def changes(console: Console, changed: PlanChanges) -> None:
    """Print the differences between two plans, in words first."""
    if not changed:
        console.print("the plans are the same")
        return
    for sentence in changed.summary:
        console.print(Text(one_line(sentence)))
    console.print()
    for line in changed:
        style = "red" if line.startswith("-") else "green"
        console.print(Text(line, style=style), soft_wrap=True)


def _weights(plan: Plan) -> list[str]:
    """How many weights have a pair, by type."""
    types = Counter(p.descriptor.dtype for p in plan.pairs if p.kind == "weight")
    return [counted(count, f"{dtype} weight") for dtype, count in types.items()]


def plan_summary(console: Console, plan: Plan) -> None:
    """Print the number of decisions of each rule, and of the resulting pairs."""
    rows = []
    for rule, done in by_rule(plan).items():
        cells = (done[key] for key in ("quantized", "skipped", "overridden", "shared"))
        rows.append((rule, *(str(c) if c else "-" for c in cells)))
    columns = ("rule", "inputs quantized", "skipped", "overridden", "scales shared")
    if rows:
        table(console, columns, rows, drop=("scales shared", "overridden"))
    if unmatched := list(dict.fromkeys(plan.unmatched)):
        more = f" and {len(unmatched) - _FEW} more" if len(unmatched) > _FEW else ""
        console.print(f"rules that matched nothing here: {', '.join(unmatched[:_FEW])}{more}")
    n = coverage(plan)
    parts = (
        counted(n["activation_pairs"], "activation pair"),
        *_weights(plan),
        f"{counted(n['skipped'], 'input')} skipped",
        f"{n['existing']} have pairs already",
        f"{counted(n['shared_scales'], 'scale')} shared by {n['pairs_sharing']} pairs",
    )
    counts = ", ".join(part for part in parts if not part.startswith("0 "))
    ops = f"{n['weighted_ops_quantized']} of {n['weighted_ops']} weighted ops quantized"
    console.print(f"{ops}: {counts}" if counts else ops)


def scales(console: Console, scale_table: Scales) -> None:
    """Print the scale of every key, or the smallest and the largest of several."""
    rows = []
    for key, scale in scale_table.items():
        tensor, node = (key, "") if isinstance(key, str) else key
        values = np.asarray(scale)
        least, largest = f"{values.min():.4g}", f"{values.max():.4g}"
        span = least if values.ndim == 0 else f"{least} to {largest}"
        name = f"{one_line(tensor)} for {one_line(node)}" if node else one_line(tensor)
        rows.append((name, span, "x".join(map(str, values.shape))))
    if rows:
        table(console, ("tensor", "scale", "shape"), rows)
    names = ", ".join(map(one_line, scale_table.edited))
    replaced = f"; replaced by hand: {names}" if names else ""
    apart = ", ".join(map(one_line, scale_table.untied))
    untied = f"; not tied, for their ranges: {apart}" if apart else ""
    console.print(f"{counted(len(scale_table.by_pair), 'pair')}{untied}{replaced}")


def float_rest(console: Console, rest: FloatRest) -> None:
    """Print how many ops compute in half precision, and why the others do not."""
    reasons = Counter(
        "out of range" if reason.startswith(OUT_OF_RANGE) else reason
        for reason in rest.kept.values()
    )
    why = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    kept = f", {len(rest.kept)} kept in fp32 ({why})" if rest.kept else ""
    console.print(
        f"float rest: {rest.half_ops} ops in {rest.type}{kept}, {counted(rest.casts, 'Cast')}"
    )
