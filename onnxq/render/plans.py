"""Plans and their differences as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from onnxq.diagnostics import counted
from onnxq.insertion.half import FloatRest
from onnxq.insertion.precision import OUT_OF_RANGE
from onnxq.model.existing import is_decided
from onnxq.model.graph import Edge, Graph
from onnxq.model.node_inputs import data_slots
from onnxq.model.ops import traits
from onnxq.planning.plan import Plan
from onnxq.planning.plan_file import FLOAT, Line
from onnxq.render.tables import table
from onnxq.render.text import one_line


def plan_lines(console: Console, lines: Sequence[Line]) -> None:
    """Print decisions in columns, one line each, however wide."""
    rows = [line.fields() for line in lines]
    widths = [min(max(map(len, column)), 60) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        style = "yellow" if row[3] == FLOAT else ""
        console.print(Text(one_line("  ".join(cells).rstrip()), style=style), soft_wrap=True)


def changes(console: Console, found: Sequence[str]) -> None:
    """Print what differs between two plans."""
    for line in found:
        style = "red" if line.startswith("-") else "green"
        console.print(Text(line, style=style), soft_wrap=True)
    if not found:
        console.print("the plans are the same")


def plan_counts(plan: Plan, graph: Graph) -> dict[str, int]:
    """How many uses of tensors were decided, how many pairs that makes, and what stays float."""
    paired = {edge for p in plan.pairs for edge in p.edges}
    weighted = [n for n in graph.nodes if traits(n).weighted]
    inputs = {n.name: [Edge(node=n.name, slot=s) for s in data_slots(graph, n)] for n in weighted}
    existing = {e for edges in inputs.values() for e in edges if is_decided(graph, e)}
    int4 = {e for p in plan.pairs if p.descriptor.dtype == "int4" for e in p.edges}
    whole = [
        n
        for n in weighted
        if existing.union(paired).issuperset(inputs[n.name]) or int4.intersection(inputs[n.name])
    ]
    pairs = Counter(p.kind for p in plan.pairs)
    tied = Counter(p.group for p in plan.pairs if p.group is not None)
    return {
        "activation_pairs": pairs["activation"],
        "weight_pairs": pairs["weight"],
        "quantized": sum(d.descriptor is not None for d in plan.decisions),
        "skipped": sum(d.descriptor is None for d in plan.decisions),
        "shared_scales": sum(n > 1 for n in tied.values()),
        "pairs_sharing": sum(n for n in tied.values() if n > 1),
        "existing": len(existing),
        "weighted_ops": len(weighted),
        "weighted_ops_quantized": len(whole),
    }


def _weights(plan: Plan) -> list[str]:
    """How many weights have a pair, by type."""
    types = Counter(p.descriptor.dtype for p in plan.pairs if p.kind == "weight")
    return [counted(count, f"{dtype} weight") for dtype, count in types.items()]


def plan_by_rule(plan: Plan) -> dict[str, Counter[str]]:
    """Inputs that each rule decided, and groups that it tied, by rule id in order of decision."""
    rules: dict[str, Counter[str]] = {}
    for d in plan.decisions:
        counts = rules.setdefault(d.because.rule, Counter())
        counts["skipped" if d.descriptor is None else "quantized"] += 1
        for loser in d.overrides:
            rules.setdefault(loser.rule, Counter())["overridden"] += 1
    for index, group in enumerate(plan.groups):
        if sum(p.group == index for p in plan.pairs) > 1:
            for rule in dict.fromkeys(b.rule for b in group.because):
                rules.setdefault(rule, Counter())["shared"] += 1
    return rules


def plan_summary(console: Console, plan: Plan, graph: Graph) -> None:
    """Print what the rules decided, rule by rule, and the pairs that makes."""
    rows = []
    for rule, done in plan_by_rule(plan).items():
        cells = (done[key] for key in ("quantized", "skipped", "overridden", "shared"))
        rows.append((rule, *(str(c) if c else "-" for c in cells)))
    columns = ("rule", "inputs quantized", "skipped", "overridden", "scales shared")
    if rows:
        table(console, columns, rows, drop=("scales shared", "overridden"))
    if plan.unmatched:
        console.print(f"rules that matched nothing here: {', '.join(plan.unmatched)}")
    n = plan_counts(plan, graph)
    parts = (
        counted(n["activation_pairs"], "activation pair"),
        *_weights(plan),
        f"{counted(n['skipped'], 'input')} skipped",
        f"{n['existing']} have pairs already",
        f"{counted(n['shared_scales'], 'scale')} shared by {n['pairs_sharing']} pairs",
    )
    told = ", ".join(part for part in parts if not part.startswith("0 "))
    ops = f"{n['weighted_ops_quantized']} of {n['weighted_ops']} weighted ops quantized"
    console.print(f"{ops}: {told}" if told else ops, soft_wrap=True)


def float_rest(console: Console, rest: FloatRest) -> None:
    """Print what computes in half precision, and what does not and why."""
    reasons = Counter(
        "out of range" if reason.startswith(OUT_OF_RANGE) else reason
        for reason in rest.kept.values()
    )
    why = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    kept = f", {len(rest.kept)} kept in fp32 ({why})" if rest.kept else ""
    console.print(
        f"float rest: {rest.half_ops} ops in {rest.type}{kept}, {counted(rest.casts, 'Cast')}",
        soft_wrap=True,
        markup=False,
    )
