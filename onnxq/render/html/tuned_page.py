"""A tuning as one HTML page."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from onnxq.diagnostics import counted
from onnxq.render import tunings as text
from onnxq.render.html import tuned_charts
from onnxq.render.html.template import rendered, require
from onnxq.render.html.tuned_charts import Spot, Trade
from onnxq.render.text import share
from onnxq.tuning.search import Trial
from onnxq.tuning.tuned import Tuned

_FLOAT_DB: Final = 100  # of a model whose only noise is float rounding


def tuned_page(result: Tuned) -> str:
    """The page of a tuning; OQ670 if Jinja or Vega is not installed."""
    require()
    return rendered(
        "tuned.html.jinja",
        result=result,
        text=text,
        charts=tuned_charts,
        before=result.trials[0],
        decisions=list(zip(result.rules, result.reasons, strict=True)),
        chart=tuned_charts.trade(
            _trade(result), result.least, result.goal.min_int8, _title(result)
        ),
    )


def _title(result: Tuned) -> str:
    return result.goal.unit if result.goal.scorer else f"{text.figure_name(result)}, dB"


def _trade(result: Tuned) -> Trade:
    """What the chart shows."""
    frontier = result.frontier
    before, tuned = result.before.figure, result.verdict.figure
    ends = result.trials[0].int8, result.chosen.int8
    return Trade(
        tried=_spots(result, (t for t in result.trials if t not in frontier)),
        frontier=_spots(result, frontier),
        chosen=_spots(result, [result.chosen]),
        before=_drawn(result, [Spot(ends[0], before, _verdict(result, "as it was", before))]),
        tuned=_drawn(result, [Spot(ends[1], tuned, _verdict(result, "tuned", tuned))]),
    )


def _spots(result: Tuned, trials: Iterable[Trial]) -> list[Spot]:
    return _drawn(result, (_spot(result, trial) for trial in trials))


def _spot(result: Tuned, trial: Trial) -> Spot:
    ops, figure = counted(text.float_ops(trial), "op"), trial.figures.figure
    said = f"{ops} in float, {share(trial.int8)} of the MACs in int8: {result.goal.text(figure)}"
    return Spot(trial.int8, figure, said)


def _verdict(result: Tuned, what: str, figure: float) -> str:
    return f"verdict on the recipe {what}: {result.goal.text(figure)}"


def _drawn(result: Tuned, spots: Iterable[Spot]) -> list[Spot]:
    """Those that the chart can show: one as good as float would leave no room for the others."""
    most = math.inf if result.goal.scorer else _FLOAT_DB
    return [spot for spot in spots if math.isfinite(spot.figure) and spot.figure < most]
