"""The sensitivity as one HTML page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from onnxq.render import sensitivities as text
from onnxq.render.html import noise_charts
from onnxq.render.html.noise_charts import Bar, Dot
from onnxq.render.html.template import rendered, require
from onnxq.render.text import one_line, share
from onnxq.sensitivities.sensitivity import OpNoise, Sensitivity, decibel
from onnxq.verification import LOW_SQNR_DB

_BARS: Final = 30
_PALETTE: Final = 6  # colours of models in the style sheet


def noise_page(result: Sensitivity) -> str:
    """The page of a sensitivity; OQ670 if Jinja or Vega is not installed."""
    require()
    return rendered(
        "noise.html.jinja",
        result=result,
        text=text,
        decibel=decibel,
        bars=_BARS,
        bad_db=LOW_SQNR_DB,
        ranked=noise_charts.ranked([_bar(result, op) for op in result.worst_ops[:_BARS]]),
        along=noise_charts.along(_dots(result)),
        colors=[_color(number) for number in range(len(result.parts))],
        macs=text.all_macs(result),
        positions={op.node: number for number, op in enumerate(result.ops, start=1)},
    )


def _bar(result: Sensitivity, op: OpNoise) -> Bar:
    activation, weight = result.share(op.activation), result.share(op.weight)
    said = f"{one_line(op.node)}: activations {share(activation)}, weights {share(weight)}"
    return Bar(one_line(op.node), activation, weight, said)


def _dots(result: Sensitivity) -> Iterator[Dot]:
    for position, op in enumerate(result.ops, start=1):
        for number, (part, noise) in enumerate(zip(result.parts, op.noise, strict=True)):
            if math.isfinite(db := decibel(noise)):
                said = f"{one_line(op.node)}, {one_line(part)}: {db:.1f} dB"
                yield Dot(position, db, _color(number), said)


def _color(part: int) -> str:
    return f"var(--model{part % _PALETTE})"
