"""A network with its places, its types and what each box tells, ready for a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from onnxq.render.network.graph import Box, Network, Wire
from onnxq.render.network.layout import Layout, Place, layout
from onnxq.render.network.placements import REST, Placement
from onnxq.render.text import one_line

COLUMN: Final = 156  # from the middle of a box to that of the next, pixels
LAYER: Final = 68
WIDTH: Final = 140  # of a box, pixels
HEIGHT: Final = 38
_ORDER: Final = ("int8", "fp8", "int4", "fp16", "bf16", "fp32", "float", REST)
_LETTERS: Final = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Figures laid over the boxes: by the name of a node, how bad it is (0 to 1), and the text."""

    title: str
    figures: Mapping[str, tuple[float, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnBox:
    """A box around (x, y) in pixels; `type` selects its colour."""

    x: float
    y: float
    label: str
    name: str
    type: str
    kind: str
    whole_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnWire:
    """A line as the `d` of an SVG path; with `badge`, where its Q/DQ pair is drawn."""

    path: str
    badge: Place | None
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A picture in pixels. `types` counts the nodes by type; `data` is for the page's script."""

    width: float
    height: float
    boxes: tuple[DrawnBox, ...]
    wires: tuple[DrawnWire, ...]
    types: Mapping[str, int]
    overlays: tuple[Overlay, ...]
    data: Mapping[str, Any]


def drawing(
    network: Network,
    placement: Placement,
    types: Mapping[str, str] | None = None,
    overlays: Sequence[Overlay] = (),
) -> Drawing:
    """Draw a network. `types` by the name of a node replace those of the plan."""
    arranged = layout(len(network.boxes), [(wire.begin, wire.end) for wire in network.wires])
    of_node = {**placement.types, **(types or {})}
    boxes = tuple(
        _box(box, place, of_node.get(box.name, REST) if box.kind == "node" else "port")
        for box, place in zip(network.boxes, arranged.places, strict=True)
    )
    counts = Counter(box.type for box in boxes if box.kind == "node")
    return Drawing(
        width=arranged.columns * COLUMN + WIDTH + 16,
        height=arranged.layers * LAYER + HEIGHT + 16,
        boxes=boxes,
        wires=tuple(_wire(wire, network, arranged, placement) for wire in network.wires),
        types={dtype: counts[dtype] for dtype in sorted(counts, key=_rank)},
        overlays=tuple(overlays),
        data=_data(network, placement, boxes, overlays),
    )


def _rank(dtype: str) -> int:
    return _ORDER.index(dtype) if dtype in _ORDER else len(_ORDER)


def _box(box: Box, place: Place, dtype: str) -> DrawnBox:
    x, y = _pixels(place)
    name = one_line(box.name)
    return DrawnBox(
        x=x,
        y=y,
        label=_end(one_line(box.label)) if box.kind == "node" else box.kind,
        name=_end(name),
        type=dtype,
        kind=box.kind,
        whole_name=name,
    )


def _end(name: str) -> str:
    """The end of a long name, which tells more than its beginning."""
    return name if len(name) <= _LETTERS else f"\N{HORIZONTAL ELLIPSIS}{name[1 - _LETTERS :]}"


def _wire(wire: Wire, network: Network, arranged: Layout, placement: Placement) -> DrawnWire:
    places = [_pixels(place) for place in arranged.routes[wire.begin, wire.end]]
    reader = network.boxes[wire.end]
    is_paired = reader.kind == "node" and (wire.tensor, reader.name) in placement.paired
    return DrawnWire(
        path=_curve(places),
        badge=_on_curve(places) if is_paired else None,
        title=one_line(f"{wire.tensor} {wire.shape}".rstrip()),
    )


def _pixels(place: Place) -> Place:
    x, y = place
    return x * COLUMN + WIDTH / 2 + 8, y * LAYER + HEIGHT / 2 + 8


def _curve(places: Sequence[Place]) -> str:
    """Through all places, vertical at each."""
    (x, y), *rest = places
    parts = [f"M{x:g} {y:g}"]
    for right, down in rest:
        middle = (y + down) / 2
        straight = f"V{down:g}"
        curved = f"C{x:g} {middle:g} {right:g} {middle:g} {right:g} {down:g}"
        parts.append(straight if right == x else curved)
        x, y = right, down
    return "".join(parts)


def _on_curve(places: Sequence[Place]) -> Place:
    """A point of the last part of the curve, in the gap above the box in which it ends."""
    (x, y), (right, down) = places[-2:]
    side, height = 0.28, 0.62  # the cubic of `_curve` at 0.65 of its parameter
    return side * x + (1 - side) * right, (1 - height) * y + height * down


def _data(
    network: Network,
    placement: Placement,
    boxes: Sequence[DrawnBox],
    overlays: Sequence[Overlay],
) -> dict[str, Any]:
    """What the script shows of a box; names and reasons only once, as they are long."""
    outputs: dict[int, dict[str, str]] = {}
    for wire in network.wires:
        outputs.setdefault(wire.begin, {})[wire.tensor] = wire.shape
    rules: dict[str, int] = {}
    shown = []
    for number, (box, drawn) in enumerate(zip(network.boxes, boxes, strict=True)):
        inputs = placement.inputs.get(box.name, ()) if box.kind == "node" else ()
        shown.append(
            {
                "name": drawn.whole_name,
                "op": one_line(box.label) if box.kind == "node" else box.kind,
                "type": drawn.type,
                "outputs": [[one_line(t), shape] for t, shape in outputs.get(number, {}).items()],
                "inputs": [_input(decided, rules) for decided in inputs],
                "figures": [
                    overlay.figures.get(box.name) if box.kind == "node" else None
                    for overlay in overlays
                ],
            }
        )
    lines = [[wire.begin, wire.end] for wire in network.wires]
    return {"boxes": shown, "wires": lines, "reasons": list(rules)}


def _input(decided: Mapping[str, Any], reasons: dict[str, int]) -> list[Any]:
    """An input as a list: slot, tensor, type, group, rule, place of the rule, reason, losers."""
    reason = reasons.setdefault(one_line(decided["why"]), len(reasons))
    texts = [one_line(decided[key]) for key in ("tensor", "descriptor", "group", "rule", "where")]
    return [decided["input"], *texts, reason, [one_line(rule) for rule in decided["overrides"]]]
