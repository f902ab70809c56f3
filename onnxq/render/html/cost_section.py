"""The costs of the engines as a section of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from onnxq.cost.engine import EngineCost
from onnxq.cost.losses import Loss
from onnxq.cost.report import CostReport
from onnxq.cost.steps import Step
from onnxq.render.costs import LEFT_OUT, NAMES, moved, products, sentence
from onnxq.render.html import charts
from onnxq.render.html.page_models import PageModel
from onnxq.render.text import one_line

CONVERTING: Final = "converting"
OTHER: Final = "other"
_ORDER: Final = ("int8", "fp8", "fp16", "bf16", "fp32", OTHER, CONVERTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of an engine's bar: the time that steps of a kind take, in per cent of the longest."""

    kind: str
    begin: float
    width: float
    microseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineBar:
    """One engine with its bar."""

    name: str
    engine: EngineCost
    products: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One step of the Q/DQ engine; `number` is its place. `share` is that of the engine's time."""

    number: int
    kernels: tuple[str, ...]
    nodes: tuple[str, ...]
    kind: str
    step: Step
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRow:
    """One loss, and what it moves in words."""

    loss: Loss
    moved: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSection:
    """All that the page says of the cost of one model; `chart` shows the time of each step."""

    model: PageModel
    report: CostReport
    sentence: str
    left_out: str
    bars: tuple[EngineBar, ...]
    chart: str
    steps: tuple[StepRow, ...]
    losses: tuple[LossRow, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of steps in the bars, for the legend."""
        present = {part.kind for bar in self.bars for part in bar.parts}
        return tuple(kind for kind in _ORDER if kind in present)


def cost_sections(models: Sequence[PageModel]) -> tuple[CostSection, ...]:
    """A section for each model whose engine has a cost."""
    return tuple(_section(model, cost) for model in models if (cost := model.report.cost))


def color(kind: str) -> str:
    """The CSS colour of steps of a kind."""
    return charts.color({CONVERTING: "bad", OTHER: "unknown"}.get(kind, kind))


def _section(model: PageModel, report: CostReport) -> CostSection:
    longest = max(engine.seconds for engine in report.engines) or 1.0
    rows = tuple(_rows(model, report.qdq))
    bars = [
        charts.Time(
            name=one_line(f"{', '.join(row.nodes[:3]) or row.kernels[0]}: {row.kind}"),
            microseconds=1e6 * row.step.seconds,
            color=color(row.kind),
        )
        for row in rows
    ]
    return CostSection(
        model=model,
        report=report,
        sentence=sentence(report),
        left_out=LEFT_OUT,
        bars=tuple(_bar(engine, longest) for engine in report.engines),
        chart=charts.times(bars),
        steps=rows,
        losses=tuple(LossRow(loss=loss, moved=moved(loss)) for loss in report.losses),
    )


def _bar(engine: EngineCost, longest: float) -> EngineBar:
    seconds: dict[str, float] = {}
    for step in engine.steps:
        seconds[_kind(step)] = seconds.get(_kind(step), 0.0) + step.seconds
    parts, begin = [], 0.0
    for kind in sorted(seconds, key=_ORDER.index):
        width = 100 * seconds[kind] / longest
        parts.append(Part(kind=kind, begin=begin, width=width, microseconds=1e6 * seconds[kind]))
        begin += width
    return EngineBar(
        name=NAMES[engine.types], engine=engine, products=products(engine), parts=tuple(parts)
    )


def _rows(model: PageModel, engine: EngineCost) -> Iterator[StepRow]:
    float_nodes = {product.node for product in model.origin.products}
    for number, step in enumerate(engine.steps, start=1):
        nodes = [n for n in step.nodes if n in float_nodes] or step.nodes
        yield StepRow(
            number=number,
            kernels=tuple(kernel.name for kernel in step.kernels),
            nodes=tuple(nodes),
            kind=_kind(step),
            step=step,
            share=step.seconds / engine.seconds if engine.seconds else 0.0,
        )


def _kind(step: Step) -> str:
    """The type that a step multiplies most in; else whether it converts."""
    if step.macs:
        return max(step.macs, key=lambda dtype: step.macs[dtype])
    return CONVERTING if step.converts else OTHER
