"""Charts as SVG, drawn by Vega when the page is written; colours are the page's CSS variables.

Vega-Lite compiles each kind of chart once, and Vega draws it for each data set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

_SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"
_VEGA_LITE: Final = "6.1"
_CONFIG: Final[Mapping[str, Any]] = {
    "aria": False,
    "background": None,
    "font": "inherit",
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--line)",
        "gridColor": "var(--line)",
        "labelColor": "var(--muted)",
        "labelFontSize": 11,
        "tickColor": "var(--line)",
        "tickSize": 4,
        "titleColor": "var(--muted)",
        "titleFontSize": 11,
        "titleFontWeight": "normal",
    },
}
OWN_COLOR: Final = {"field": "color", "type": "nominal", "scale": None}
NAME: Final = {"field": "name", "type": "nominal"}  # as aria-label, which the page shows


def svg(
    chart: Mapping[str, Any],
    data: Mapping[str, Sequence[Mapping[str, Any]]],
    ticks: Sequence[float] | None = None,
) -> str:
    """A compiled chart with data by name; `ticks` are those of the axis at the bottom."""
    import vl_convert

    axes = chart["axes"]
    if ticks is not None:
        bottom = {"values": list(ticks)}
        axes = [axis | (bottom if axis["orient"] == "bottom" else {}) for axis in axes]
    filled = [
        source | ({"values": data[source["name"]]} if source["name"] in data else {})
        for source in chart["data"]
    ]
    drawn: str = vl_convert.vega_to_svg(
        {**chart, "axes": axes, "data": filled}, allowed_base_urls=[]
    )
    return drawn


def compiled(
    width: int, height: int | Mapping[str, int], names: Iterable[str], layers: Sequence[Any]
) -> Any:
    """A chart of layers in Vega; its size is in pixels, `{"step": n}` for a row. Data has names."""
    import vl_convert

    return vl_convert.vegalite_to_vega(
        {
            "$schema": _SCHEMA,
            "width": width,
            "height": height,
            "padding": 2,
            "config": _CONFIG,
            "datasets": {name: [] for name in names},
            "layer": layers,
        },
        vl_version=_VEGA_LITE,
    )


def layer(data: str, mark: Mapping[str, Any], **encoding: Any) -> dict[str, Any]:
    """One layer, of the data of a name."""
    return {"data": {"name": data}, "mark": mark, "encoding": encoding}


def field(name: str, **options: Any) -> dict[str, Any]:
    """A channel that a number of the data sets."""
    return {"field": name, "type": "quantitative", "title": None, **options}
