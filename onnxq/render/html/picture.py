"""The network of a verified model: types of the engine, and figures laid over the boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from onnxq.render.html.cost_section import CostSection
from onnxq.render.html.layers import LayerRow
from onnxq.render.html.page_models import PageModel
from onnxq.render.network import Drawing, Overlay, drawing, network, placements

_CLEAN_DB: Final = 40.0  # the ends of the colours
_NOISY_DB: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The network of one model; without a drawing `why_not_drawn` says why."""

    model: PageModel
    drawing: Drawing | None
    why_not_drawn: str = ""


def picture(
    models: Sequence[PageModel], rows: Sequence[LayerRow], costs: Sequence[CostSection]
) -> Picture | None:
    """The network of the first model whose plan is known; None where none is."""
    for model in models:
        if (plan := model.origin.plan) is None:
            continue
        net = network(plan.graph)
        if net.why_not_drawn:
            return Picture(model=model, drawing=None, why_not_drawn=net.why_not_drawn)
        own = [row for row in rows if row.model is model]
        drawn = drawing(
            net,
            placements(net, plan),
            types={row.node: row.kind.removesuffix(", expected") for row in own},
            overlays=tuple(_overlays(own, [cost for cost in costs if cost.model is model])),
        )
        return Picture(model=model, drawing=drawn)
    return None


def _overlays(rows: Sequence[LayerRow], costs: Sequence[CostSection]) -> Iterator[Overlay]:
    figures = {
        "SQNR so far": {row.node: row.accumulated for row in rows},
        "SQNR alone": {row.node: row.local for row in rows},
    }
    for title, values in figures.items():
        known = {node: value for node, value in values.items() if value is not None}
        if known:
            yield Overlay(
                title=title, figures={n: (_noise(v), f"{v:.1f} dB") for n, v in known.items()}
            )
    for cost in costs:
        yield Overlay(title="least time", figures=_times(cost))


def _noise(sqnr_db: float) -> float:
    """0 for a clean tensor, 1 for a noisy one."""
    return min(max((_CLEAN_DB - sqnr_db) / (_CLEAN_DB - _NOISY_DB), 0.0), 1.0)


def _times(cost: CostSection) -> Mapping[str, tuple[float, str]]:
    """The time of the step that a node is part of, relative to the longest step."""
    longest = max((row.step.seconds for row in cost.steps), default=0) or 1.0
    return {
        node: (row.step.seconds / longest, f"{1e6 * row.step.seconds:.2f} us, {row.share:.1%}")
        for row in cost.steps
        for node in row.nodes
    }
