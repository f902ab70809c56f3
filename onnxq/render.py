"""Everything a person sees: diagnostics, summaries and reports, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onnxq.diagnostics import Diagnostic, Severity
from onnxq.graph import Graph
from onnxq.ops import traits
from onnxq.plan import Plan
from onnxq.verify import CompiledReport, NumericReport, VerifyReport

_COLOR = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


def diagnostics(console: Console, found: Iterable[Diagnostic]) -> None:
    """Print diagnostics as a compiler does: place, code, message, fix, the line and a caret."""
    for d in found:
        color = _COLOR[d.severity]
        where = f"{escape(str(d.span))}: " if d.span else ""
        head = f"[{color}]{d.severity}\\[{d.code}][/{color}]"
        console.print(f"{where}{head}: {escape(d.message)}; {escape(d.fix)}", soft_wrap=True)
        if d.span and d.span.source.strip():
            console.print(f"  {escape(d.span.source.rstrip())}", soft_wrap=True, highlight=False)
            caret = " " * (d.span.column - 1) + "^"
            console.print(f"  [{color}]{caret}[/{color}]", soft_wrap=True)


def diagnostic_dict(d: Diagnostic) -> dict[str, object]:
    """A diagnostic for JSON."""
    span = None
    if d.span:
        span = {"file": d.span.file, "line": d.span.line, "column": d.span.column}
    return {
        "code": d.code,
        "severity": str(d.severity),
        "message": d.message,
        "fix": d.fix,
        "span": span,
    }


def table(*columns: str) -> Table:
    """A plain table: the first column left, the others right."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return made


def plan_counts(plan: Plan, graph: Graph) -> dict[str, int]:
    """How many uses of tensors were decided, how many pairs that makes, and what stays float."""
    weighted = [n.name for n in graph.nodes if traits(n).weighted]
    quantized = {d.edge.node for d in plan.decisions if d.descriptor is not None}
    pairs = Counter(p.kind for p in plan.pairs)
    tied = Counter(p.group for p in plan.pairs if p.group is not None)
    return {
        "activation_pairs": pairs["activation"],
        "weight_pairs": pairs["weight"],
        "quantized": sum(d.descriptor is not None for d in plan.decisions),
        "skipped": sum(d.descriptor is None for d in plan.decisions),
        "shared_scales": sum(n > 1 for n in tied.values()),
        "pairs_sharing": sum(n for n in tied.values() if n > 1),
        "weighted_ops": len(weighted),
        "weighted_ops_quantized": sum(name in quantized for name in weighted),
    }


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
    shown = table("rule", "inputs quantized", "skipped", "overridden", "scales shared")
    for rule, done in plan_by_rule(plan).items():
        cells = (done[key] for key in ("quantized", "skipped", "overridden", "shared"))
        shown.add_row(escape(rule), *(str(c) if c else "-" for c in cells))
    console.print(shown)
    if plan.unmatched:
        console.print(f"rules that matched nothing here: {', '.join(plan.unmatched)}")
    n = plan_counts(plan, graph)
    console.print(
        f"{n['weighted_ops_quantized']} of {n['weighted_ops']} weighted ops quantized: "
        f"{n['activation_pairs']} activation pairs, {n['weight_pairs']} int8 weights, "
        f"{n['skipped']} inputs skipped, "
        f"{n['shared_scales']} scales shared by {n['pairs_sharing']} pairs",
        soft_wrap=True,
    )


def verify_report(console: Console, report: VerifyReport) -> None:
    """Print what lint, onnxruntime and the compiler said; diagnostics are printed apart."""
    errors = sum(d.severity is Severity.ERROR for d in report.lint)
    console.print(f"lint: {errors} errors, {len(report.lint) - errors} warnings")
    if report.numeric is not None:
        _numeric(console, report.numeric)
    elif report.why_not_numeric is None:
        console.print("numeric: not run, there is no --data")
    if report.compiled is not None:
        _compiled(console, report.compiled)


def _numeric(console: Console, numeric: NumericReport) -> None:
    shown = table("output", "SQNR dB", "worst sample dB", "cosine", "max error", "mean error")
    for o in numeric.outputs:
        figures = (o.sqnr_db, o.worst_sqnr_db)
        rest = (_figure(o.cosine, ".6f"), _figure(o.max_abs_error), _figure(o.mean_abs_error))
        shown.add_row(escape(o.name), *(_figure(f, ".2f") for f in figures), *rest)
        if o.problem:
            shown.add_row(f"  [yellow]{escape(o.problem)}[/yellow]")
    console.print(f"numeric: FP32 against Q/DQ in onnxruntime, {numeric.samples} samples")
    console.print(shown)


def _figure(value: float | None, form: str = ".4g") -> str:
    return "-" if value is None else format(value, form)


def _compiled(console: Console, compiled: CompiledReport) -> None:
    console.print(
        f"compiled: {compiled.backend} {compiled.version}, data types of the built engine"
    )
    shown = table("op", "int8", "of")
    for kind, (int8, total) in compiled.counts.items():
        shown.add_row(kind, str(int8), str(total))
    console.print(shown)
    for op in compiled.ops:
        if op.precision != "int8":
            console.print(
                f"  {op.precision}: {op.op} '{escape(op.node)}': {escape(op.reason)}",
                soft_wrap=True,
            )
    macs = "not known" if compiled.int8_macs is None else f"{compiled.int8_macs:.1%}"
    console.print(f"MACs in int8: {macs}, engine {compiled.engine_bytes / 1e6:.1f} MB")
