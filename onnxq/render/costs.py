"""What engines cost, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.console import Console

from onnxq.cost.engine import EngineCost, EngineTypes
from onnxq.cost.losses import Loss
from onnxq.cost.report import CostReport
from onnxq.diagnostics import counted
from onnxq.render.calibrations import short_count
from onnxq.render.tables import table
from onnxq.render.text import cut, one_line, share

NAMES: Final[Mapping[EngineTypes, str]] = {"qdq": "Q/DQ", "fp16": "FP16", "fp32": "FP32"}
LEFT_OUT: Final = (
    "Lower bounds for one inference, one kernel after another, with all tensors through memory. "
    "Left out are launches of kernels, caches, and what the compiler fuses further on the GPU."
)


def cost(console: Console, report: CostReport, *, everything: bool = False) -> None:
    """Print the engines, the bounds in a sentence, and the losses."""
    console.print(f"cost: {one_line(report.gpu)}, bytes and multiplications of the listed kernels")
    columns = ("engine", "MB moved", "weights MB", "at least ms", "converting", "MACs")
    table(console, columns, [_cells(engine) for engine in report.engines], texts=("MACs",))
    console.print(sentence(report))
    console.print(LEFT_OUT)
    kept, more = cut(report.losses, everything=everything)
    if kept:
        console.print("where it loses, the most bytes first:")
    for loss in kept:
        text = f"{moved(loss)} [{loss.code}]: {one_line(loss.message)}; {one_line(loss.fix)}"
        console.print(f"  {text}")
    if more:
        console.print(f"  {more}")


def _cells(engine: EngineCost) -> tuple[str, ...]:
    return (
        NAMES[engine.types],
        f"{engine.bytes / 1e6:.3g}",
        f"{engine.weight_bytes / 1e6:.3g}",
        f"{1e3 * engine.seconds:.3g}",
        share(engine.conversion_share),
        products(engine),
    )


def products(engine: EngineCost) -> str:
    """The multiplications by type, such as '3.18G int8'; of unknown ops, how many there are."""
    counts = sorted(engine.macs.items(), key=lambda item: -item[1])
    texts = [f"{short_count(count)} {dtype}" for dtype, count in counts]
    if engine.left_out:
        texts.append(f"{counted(len(engine.left_out), 'op')} of unknown size")
    return ", ".join(texts) or "none"


def sentence(report: CostReport) -> str:
    """What each engine moves and how long it takes at least, in one sentence."""
    first, *others = report.engines
    text = (
        f"{NAMES[first.types]} moves {_megabytes(first)} and takes at least {_ms(first)} on "
        f"{one_line(report.gpu)}"
    )
    for engine in others:
        text += f", {NAMES[engine.types]} {_megabytes(engine)} and {_ms(engine)}"
    ratio = report.ratio
    return f"{text}: {ratio:.2f} of FP16's time" if ratio is not None else text


def moved(loss: Loss) -> str:
    """What a loss moves, which may be nothing."""
    return f"{loss.bytes / 1e6:.2f} MB" if loss.bytes else "arithmetic"


def _megabytes(engine: EngineCost) -> str:
    return f"{engine.bytes / 1e6:.3g} MB"


def _ms(engine: EngineCost) -> str:
    return f"{1e3 * engine.seconds:.3g} ms"
