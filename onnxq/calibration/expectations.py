"""Whether what enters a model is what it expects: its scale, by the first layer and the metadata.

A network that is fed 0 to 1 where it learned on 0 to 255, or the reverse, computes nonsense, and
its calibration is worthless. The first convolution tells: what the values can add to its outputs
must matter beside its biases, and must fit the normalization or the bounded activation behind it.
docs/adr/0039 has the figures. Smaller differences, such as another mean, cannot be seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnxq.calibration.histogram import ValueRange
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.diagnostics import Diagnostic, warning
from onnxq.model.graph import Graph, Node

_MOVES: Final = {
    *("Cast", "Concat", "Identity", "Pad", "Reshape", "Resize", "Slice", "SpaceToDepth"),
    *("Split", "Squeeze", "Transpose", "Unsqueeze"),
}
_BOUNDED: Final = {"HardSigmoid", "HardSwish", "Sigmoid", "Swish"}
_FRACTION: Final = 2.0  # pixels divided by 255 are below it, whatever the mean
_DARK: Final = 0.5  # data that stays below may be dark pictures, and tells nothing
_NORMALIZED: Final = 8.0  # data of any usual normalization stays below
_DIVISORS: Final = (127.5, 128.0, 255.0, 256.0)  # of pixels, in the model itself
_BALANCED: Final = 0.01  # weights that cancel to less ignore the level of a picture
_ULTRALYTICS: Final = {"names", "stride"}  # keys of the metadata that its export writes
_CLASSES: Final = (1000, 1001, 21841, 21843)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How pictures enter a model: the input, the first Conv, and what they are divided by before.

    `divisor` is None where they are also shifted.
    """

    input: str
    conv: Node
    divisor: float | None = 1.0


def entries(graph: Graph) -> Iterator[Entry]:
    """The first Conv behind each input of pictures, with only moves and constants between."""
    for name in graph.inputs:
        if _takes_pictures(graph, name):
            yield from _behind(graph, name)


def _takes_pictures(graph: Graph, name: str) -> bool:
    shape = graph.type(name).shape or ()
    return len(shape) == 4 and (shape[1] == 3 or shape[3] == 3)


def _behind(graph: Graph, name: str) -> Iterator[Entry]:
    reached: dict[str, float | None] = {name: 1.0}
    for node in graph.nodes:
        data = next((t for t in node.inputs if t in reached), None)
        if data is None:
            continue
        divisor = reached[data]
        if node.op == "Conv":
            if node.inputs[0] == data and graph.is_constant(node.inputs[1]):
                yield Entry(input=name, conv=node, divisor=divisor)
            return
        if node.op in _MOVES:
            reached |= dict.fromkeys(node.outputs, divisor)
        elif (constant := _constant(graph, node, data)) is not None:
            reached[node.outputs[0]] = _divided(node, divisor, constant)


def _constant(graph: Graph, node: Node, data: str) -> NDArray[Any] | None:
    """The constant that an arithmetic node joins with the data."""
    if node.op not in ("Add", "Div", "Mul", "Sub") or node.inputs[0] != data:
        return None
    return graph.array(node.inputs[1]) if graph.is_constant(node.inputs[1]) else None


def _divided(node: Node, divisor: float | None, constant: NDArray[Any]) -> float | None:
    if divisor is None or node.op in ("Add", "Sub") or not np.all(constant):
        return None
    typical = float(np.median(np.abs(constant)))
    return divisor * typical if node.op == "Div" else divisor / typical


def seen(graph: Graph, statistics: Statistics) -> Iterator[str]:
    """A line for each float input: the range of its values, and their mean if it is known."""
    moved = {e.input: e.conv.inputs[0] for e in entries(graph) if e.divisor == 1.0}
    for name in graph.inputs:
        tensor = statistics.tensors.get(name) or statistics.tensors.get(moved.get(name, ""))
        if tensor is not None and tensor.range.finite:
            yield f"{name}: {_values(tensor)}"


def _values(tensor: TensorStatistics) -> str:
    if tensor.range.minimum == tensor.range.maximum:
        return f"{tensor.range.minimum:.4g} everywhere"
    span = f"{tensor.range.minimum:.4g} to {tensor.range.maximum:.4g}"
    histogram = tensor.histogram
    if histogram is None or tensor.range.minimum < 0:  # a histogram has magnitudes alone
        return span
    return f"{span}, mean {np.average(histogram.centres(), weights=histogram.counts):.3g}"


# Codes of `doubts`, the one whose fix helps first.
DOUBTS: Final = ("OQ462", "OQ460", "OQ461", "OQ463")


def among(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The warnings of `doubts`, by which every figure is wrong, in the order of DOUBTS."""
    doubted = [d for d in diagnostics if d.code in DOUBTS]
    return tuple(sorted(doubted, key=lambda d: DOUBTS.index(d.code)))


def doubts(
    graph: Graph, statistics: Statistics, metadata: Mapping[str, str], *, default: bool, bgr: bool
) -> Iterator[Diagnostic]:
    """Warn where inputs are certainly not what the model expects (OQ460 to OQ463).

    `default` says that nobody chose the preprocessing of pictures, `bgr` that it gives BGR.
    """
    if statistics.data:  # random
        return
    yield from _constants(graph, statistics)
    if keys := metadata.keys() >= _ULTRALYTICS:
        yield from _not_ultralytics(graph, statistics, bgr=bgr)
    if default and not keys:
        yield from _classifier(graph)
    for entry in entries(graph):
        tensor = statistics.tensors.get(entry.conv.inputs[0])
        if not keys and tensor is not None and tensor.range.minimum < tensor.range.maximum:
            yield from _scale(graph, entry, tensor)


def _constants(graph: Graph, statistics: Statistics) -> Iterator[Diagnostic]:
    fix = "check how the samples are made"
    if graph.inputs and len(statistics.sample_digests) > 1 == len(set(statistics.sample_digests)):
        message = f"all {len(statistics.sample_digests)} samples are the same"
        yield warning("OQ463", message, fix=fix)
    for name in dict.fromkeys(entry.input for entry in entries(graph)):
        values = statistics.tensors[name].range if name in statistics else ValueRange()
        if values.minimum == values.maximum:
            message = f"every value of the input '{name}' is {values.minimum:g}, in all samples"
            yield warning("OQ463", message, fix=fix)


def _not_ultralytics(graph: Graph, statistics: Statistics, *, bgr: bool) -> Iterator[Diagnostic]:
    for entry in entries(graph):
        tensor = statistics.tensors.get(entry.conv.inputs[0])
        if tensor is None or not (bgr or tensor.range.amax > _FRACTION):
            continue
        has = f"it gets {_values(tensor)}" + (", in BGR" if bgr else "")
        yield warning(
            "OQ461",
            f"the metadata of the model say that Ultralytics exported it, which feeds RGB from "
            f"0 to 1 to '{entry.input}', and {has}",
            fix="give RGB from 0 to 1, for pictures with --preprocess yolo",
        )


def _classifier(graph: Graph) -> Iterator[Diagnostic]:
    for name in graph.outputs:
        shape = graph.type(name).shape or ()
        if len(shape) == 2 and shape[1] in _CLASSES:
            yield warning(
                "OQ462",
                f"'{name}' has {shape[1]} classes, so this probably is a classifier, and "
                "pictures are preprocessed as for YOLO by default",
                fix="give --preprocess imagenet, or what the model was trained with; --preprocess "
                "yolo says that this is right",
            )


def _scale(graph: Graph, entry: Entry, tensor: TensorStatistics) -> Iterator[Diagnostic]:
    observed = f"'{entry.input}' is {_values(tensor)}"
    divisor = entry.divisor or 1.0
    if (
        any(math.isclose(divisor, d, rel_tol=0.01) for d in _DIVISORS)
        and tensor.range.amax * divisor <= _FRACTION
    ):
        yield warning(
            "OQ460",
            f"the model divides '{entry.input}' by {divisor:.4g} itself, and gets values up to "
            f"{tensor.range.amax * divisor:.3g}",
            fix="give pixels from 0 to 255: a --preprocess with 'divide: 1'",
        )
        return
    effect = _effect(graph, entry.conv, tensor)
    if effect == "none":
        yield warning(
            "OQ460",
            f"{observed} before the Conv '{entry.conv.name}', which hardly notices such small "
            "values: its biases are far larger than what pictures change",
            fix="the model may expect 0 to 255, as --preprocess yolox gives",
        )
    if effect == "too much":
        yield warning(
            "OQ460",
            f"{observed} before the Conv '{entry.conv.name}', and what follows it is made for "
            "values that are far smaller",
            fix="the model may expect 0 to 1 or -1 to 1, as --preprocess yolo, imagenet or ppocr "
            "gives",
        )


def _effect(graph: Graph, conv: Node, tensor: TensorStatistics) -> str:
    """'none', 'too much' or '': what values of this range do to the outputs of a Conv.

    Of each output channel `most` is the largest output that the values can give, and `usual` the
    standard deviation that independent values would give them; both are compared with what the
    network is made for.
    """
    weights = graph.array(conv.inputs[1]).astype(np.float64)
    if tensor.histogram is None or not weights.size:
        return ""
    weights = weights.reshape(len(weights), -1)
    sums = np.abs(weights).sum(axis=1)
    most = sums * tensor.range.amax
    usual = np.sqrt(np.square(weights).sum(axis=1)) * _deviation(tensor)
    sees_level = np.abs(weights.sum(axis=1)) >= _BALANCED * sums
    for made_for, least, largest in _references(graph, conv):
        usable = made_for > 0
        if 2 * usable.sum() < len(usable):
            continue
        by_most, by_usual = (np.median(x[usable] / made_for[usable]) for x in (most, usual))
        is_small = _DARK < tensor.range.amax <= _FRACTION
        if is_small and by_most < least[0] and by_usual < least[1]:
            return "none"
        usable &= sees_level
        if tensor.range.amax <= _NORMALIZED or 2 * usable.sum() < len(usable):
            continue
        by_most, by_usual = (np.median(x[usable] / made_for[usable]) for x in (most, usual))
        if by_most > largest[0] and by_usual > largest[1]:
            return "too much"
    return ""


def _deviation(tensor: TensorStatistics) -> float:
    """The standard deviation; of values of both signs the root of the mean square."""
    histogram = tensor.histogram
    assert histogram is not None
    centres, counts = histogram.centres(), histogram.counts
    square = float(np.average(np.square(centres), weights=counts))
    mean = float(np.average(centres, weights=counts)) if tensor.range.minimum >= 0 else 0.0
    return math.sqrt(max(square - mean**2, 0.0))


_Bounds = tuple[float, float]
_ANY: Final[_Bounds] = (math.inf, math.inf)
_NEVER: Final[_Bounds] = (0.0, 0.0)
_SMALL: Final[_Bounds] = (0.25, 0.04)


def _references(graph: Graph, conv: Node) -> Iterator[tuple[NDArray[np.float64], _Bounds, _Bounds]]:
    """What the outputs are made for, by channel, with the ratios below and above which it fails."""
    after = graph.successors.get(conv.name, ())
    if len(after) == 1 and after[0].op == "BatchNormalization":
        if graph.is_constant(after[0].inputs[4]):
            variance = graph.array(after[0].inputs[4]).astype(np.float64)
            yield np.sqrt(variance), _SMALL, (100, 10)
        return
    if len(conv.inputs) > 2 and graph.is_constant(conv.inputs[2]):
        bias = np.abs(graph.array(conv.inputs[2]).astype(np.float64))
        is_bounded = any(node.op in _BOUNDED for node in after)
        yield bias, _SMALL, (300, 40) if is_bounded else _ANY
    for node in after:
        if node.op == "Clip" and len(node.inputs) > 2 and graph.is_constant(node.inputs[2]):
            limit = float(graph.array(node.inputs[2]))
            yield np.full(len(graph.array(conv.inputs[1])), limit), _NEVER, (5, 0.8)
