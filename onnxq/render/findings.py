"""Findings, repairs and predictions of lint as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from onnxq.diagnostics import Severity, counted
from onnxq.linting import RULES, Finding, Outlook, Repair
from onnxq.render.text import COLOR, cut, diagnostics, one_line

_FEW = 3  # findings of a kind to show, unless all are requested


def findings(console: Console, shown: Sequence[Finding], *, everything: bool) -> None:
    """Print findings, errors first; several of one kind under one header with their fix."""
    kinds: dict[tuple[Severity, str, str], list[Finding]] = {}
    for severity in Severity:
        for finding in shown:
            if finding.severity is severity:
                kinds.setdefault((severity, finding.code, finding.fix), []).append(finding)
    for (severity, code, fix), same_kind in kinds.items():
        if len(same_kind) == 1:
            diagnostics(console, same_kind)
            continue
        head = Text(f"{severity}[{code}]", COLOR[severity])
        console.print(head.append(f": {counted(len(same_kind), 'finding')}; {one_line(fix)}"))
        _list(console, [finding.message for finding in same_kind], everything=everything)


def repairs(console: Console, done: Sequence[Repair], *, everything: bool) -> None:
    """Print the repairs by code; repairs that change values are listed separately."""
    kinds: dict[tuple[str, bool], list[Repair]] = {}
    for repair in done:
        kinds.setdefault((repair.code, repair.exact), []).append(repair)
    for (code, exact), same_kind in kinds.items():
        head = Text(f"repaired[{code}]", "green")
        values = "same values" if exact else "other values: compare with onnxq verify"
        console.print(head.append(f": {counted(len(same_kind), 'repair')}, {values}"))
        _list(console, [repair.text for repair in same_kind], everything=everything)
    if not done:
        console.print("nothing to repair")


def _list(console: Console, lines: Sequence[str], *, everything: bool) -> None:
    shown, more = cut(lines, everything=everything, most=_FEW)
    for line in shown:
        console.print(Text(f"  {one_line(line)}"))
    if more:
        console.print(f"  {more}")


def lint_summary(
    console: Console,
    name: str,
    findings: Sequence[Finding],
    outlook: Outlook,
    *,
    fixed: bool,
    everything: bool,
) -> None:
    """Print the number of findings, and how TensorRT is expected to build the model."""
    count = Counter(finding.severity for finding in findings)
    notes = f", {counted(count[Severity.INFO], 'note')}" if count[Severity.INFO] else ""
    errors, warnings = count[Severity.ERROR], count[Severity.WARNING]
    counts = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}{notes}"
    console.print(f"{one_line(name)}: {counts}")
    repairable = {finding.code for finding in findings if RULES[finding.code].repairs}
    if fixed and findings:
        console.print("the remaining findings need a calibration, another export or your decision")
    elif repairable:
        console.print(f"--fix can repair findings of {', '.join(sorted(repairable))}")
    if not outlook.builds:
        console.print(Text("TensorRT will not build this model", "red"))
    ops = Counter(op.precision for op in outlook.ops)
    if outlook.ops:
        shares = ", ".join(f"{ops[p]:,} {p}" for p in ("int8", "fp8", "int4", "float") if ops[p])
        would = (
            "expected" if outlook.builds else "expected without the findings that stop the build"
        )
        console.print(f"{would}: {counted(len(outlook.ops), 'weighted op')}, {shares}")
    named = {finding.node for finding in findings}
    silent = [op for op in outlook.ops if op.reason and op.node not in named]
    _list(
        console,
        [f"float: {op.op} '{op.node}': {op.reason}" for op in silent],
        everything=everything,
    )
