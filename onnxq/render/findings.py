"""What lint found, repaired and foresees, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from onnxq.diagnostics import Severity, counted
from onnxq.linting import RULES, Finding, Outlook, Repair
from onnxq.render.text import COLOR, cut, diagnostics, one_line

_FEW = 3  # findings of a kind that are shown, unless all are asked for


def findings(console: Console, found: Sequence[Finding], *, everything: bool) -> None:
    """Print findings, errors first; many of one kind under one head with what to do."""
    kinds: dict[tuple[Severity, str, str], list[Finding]] = {}
    for severity in Severity:
        for one in found:
            if one.severity is severity:
                kinds.setdefault((severity, one.code, one.fix), []).append(one)
    for (severity, code, fix), alike in kinds.items():
        if len(alike) == 1:
            diagnostics(console, alike)
            continue
        head = Text(f"{severity}[{code}]", COLOR[severity])
        console.print(head.append(f": {counted(len(alike), 'finding')}; {one_line(fix)}"))
        _list(console, [one.message for one in alike], everything=everything)


def repairs(console: Console, made: Sequence[Repair], *, everything: bool) -> None:
    """Print what was repaired, by code; those that change values are told from the others."""
    kinds: dict[tuple[str, bool], list[Repair]] = {}
    for one in made:
        kinds.setdefault((one.code, one.exact), []).append(one)
    for (code, exact), alike in kinds.items():
        head = Text(f"repaired[{code}]", "green")
        values = "same values" if exact else "other values: compare with onnxq verify"
        console.print(head.append(f": {counted(len(alike), 'repair')}, {values}"))
        _list(console, [one.text for one in alike], everything=everything)
    if not made:
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
    found: Sequence[Finding],
    outlook: Outlook,
    *,
    fixed: bool,
    everything: bool,
) -> None:
    """Print how many findings there are, and what TensorRT will make of the model."""
    count = Counter(one.severity for one in found)
    notes = f", {counted(count[Severity.INFO], 'note')}" if count[Severity.INFO] else ""
    errors, warnings = count[Severity.ERROR], count[Severity.WARNING]
    told = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}{notes}"
    console.print(f"{one_line(name)}: {told}")
    repairable = {one.code for one in found if RULES[one.code].repairs}
    if fixed and found:
        console.print("what is left takes calibration, another export or a decision of yours")
    elif repairable:
        console.print(f"--fix repairs what it can of {', '.join(sorted(repairable))}")
    if not outlook.builds:
        console.print(Text("TensorRT will not build it", "red"))
    ops = Counter(op.precision for op in outlook.ops)
    if outlook.ops:
        shares = ", ".join(f"{ops[p]:,} {p}" for p in ("int8", "fp8", "int4", "float") if ops[p])
        would = "expected" if outlook.builds else "expected without what stops the build"
        console.print(f"{would}: {counted(len(outlook.ops), 'weighted op')}, {shares}")
    named = {one.node for one in found}
    silent = [op for op in outlook.ops if op.reason and op.node not in named]
    _list(
        console,
        [f"float: {op.op} '{op.node}': {op.reason}" for op in silent],
        everything=everything,
    )
