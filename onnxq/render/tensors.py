"""The error of each pair and op of a model, as text."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.text import Text

from onnxq.diagnostics import counted
from onnxq.render.text import cut, figure, one_line
from onnxq.verification import NumericReport, TensorComparison

# Figures first and names last, so that long names stay in one piece.
_WIDE: Final = " {:>8}  {:>9}  {:>8}  {:>9}  {:>10}  {:<13}  {}"
_NARROW: Final = " {:>8}  {:>9}  {:<13}  {}"


def tensor_lines(console: Console, numeric: NumericReport, *, everything: bool) -> None:
    """Print every pair and weighted op, the lowest local SQNR first."""
    console.print(f"tensors: {len(numeric.tensors)} pairs and weighted ops")
    console.print(f"  {_culprits(numeric)}")
    for problem in dict.fromkeys(t.problem for t in numeric.tensors if t.problem):
        console.print(Text(f"  {one_line(problem)}", "yellow"))
    if numeric.unmatched:
        some = ", ".join(map(one_line, numeric.unmatched[:3]))
        console.print(
            f"  {counted(len(numeric.unmatched), 'node')} without a counterpart in the float "
            f"model: {some}{', ...' if len(numeric.unmatched) > 3 else ''}"
        )
    if numeric.inside:
        console.print(
            f"  {counted(len(numeric.inside), 'node')} inside If, Loop or Scan not compared: "
            f"{one_line(numeric.inside[0])}{', ...' if len(numeric.inside) > 1 else ''}"
        )
    wide = console.width >= 80
    form = _WIDE if wide else _NARROW
    sizes = ("cosine", "max error", "mean error") if wide else ()
    console.print()
    console.print(form.format("alone dB", "so far dB", *sizes, "op", "name").rstrip())
    kept, more = cut(sorted(numeric.tensors, key=_damage), everything=everything)
    for comparison in kept:
        console.print(_line(comparison, form, wide=wide, mark=comparison.node in numeric.culprits))
    if more:
        console.print(f" {more}")
    console.print()


def _culprits(numeric: NumericReport) -> str:
    culprits = [t for t in numeric.tensors if t.node in numeric.culprits]
    if not culprits:
        return "no pair or op adds any error"
    total = sum(t.kind == culprits[0].kind for t in numeric.tensors)
    kind = "weighted ops" if culprits[0].kind == "op" else "pairs"
    return f"half of the noise arises in {len(culprits)} of {total} {kind} (<-)"


def _damage(comparison: TensorComparison) -> tuple[bool, float]:
    own = comparison.local.sqnr_db if comparison.local is not None else None
    total = comparison.accumulated.sqnr_db
    if own is not None:
        return (False, own)
    return (True, float("inf") if total is None else total)


def _line(comparison: TensorComparison, form: str, *, wide: bool, mark: bool) -> Text:
    own, total = comparison.local, comparison.accumulated
    sizes = (figure(total.cosine, ".6f"), figure(total.max_abs_error), figure(total.mean_abs_error))
    line = form.format(
        figure(own.sqnr_db if own is not None else None, ".2f"),
        figure(total.sqnr_db, ".2f"),
        *(sizes if wide else ()),
        "pair" if comparison.kind == "pair" else comparison.op,
        one_line(comparison.tensor if comparison.kind == "pair" else comparison.node),
    )
    return Text(line + ("  <-" if mark else ""), "red" if mark else "")
