"""Plan x statistics x constants -> which ops half precision can hold, and scales that it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic, counted, warning
from onnxq.insertion.scales import Scales
from onnxq.model.graph import Graph
from onnxq.model.pairs import PAIR_OPS
from onnxq.planning.plan import Pair, Plan
from onnxq.quantization import representable

FloatName = Literal["fp32", "fp16", "bf16"]
OUT_OF_RANGE: Final = "out of range:"  # begins a reason that is a tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """A 16-bit float type: our name, ONNX's name and number, NumPy's type, range, opset needed.

    Below `normal` values lose bits, `least` is their smallest step. TensorRT does not compute the
    ops of `lacks` in this type.
    """

    called: FloatName
    name: str
    proto: int
    dtype: np.dtype[Any]
    largest: float
    normal: float
    least: float
    opset: int
    lacks: frozenset[str]


def _half(called: FloatName, name: str, proto: int, dtype: Any, opset: int, *lacks: str) -> Half:
    limits: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    return Half(
        called=called,
        name=name,
        proto=proto,
        dtype=np.dtype(dtype),
        largest=float(limits.max),
        normal=float(limits.smallest_normal),
        least=float(limits.smallest_subnormal),
        opset=opset,
        lacks=frozenset(lacks),
    )


# Opset 19 has 16-bit scales; Conv and the pools take bfloat16 since 22. Seen in TensorRT-RTX 1.7:
# it cannot build a ConvTranspose in bfloat16.
HALF: Final[Mapping[FloatName, Half]] = {
    "fp16": _half("fp16", "float16", TensorProto.FLOAT16, np.float16, 19),
    "bf16": _half(
        "bf16", "bfloat16", TensorProto.BFLOAT16, ml_dtypes.bfloat16, 22, "ConvTranspose"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The ops that stay in FP32, each with the rule, the tensor or the fact that is the reason.

    Whatever is not among them may compute in half precision.
    """

    kept: Mapping[str, str]
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Misfit:
    """A tensor that half precision cannot hold; `amax` is its largest magnitude."""

    tensor: str
    amax: float
    nodes: tuple[str, ...]


def choose(graph: Graph, plan: Plan, statistics: Statistics, half: Half) -> Choice:
    """Return what the rules keep in FP32, and what touches a tensor out of the type's range.

    A tensor is out of range when its largest magnitude is: it then overflows, or loses bits in all
    of its values. The rules have the last word on an op. Warns with OQ510 and OQ511.
    """
    said = {k.node: k.keep for k in plan.kept}
    kept = {k.node: k.because.rule for k in plan.kept if k.keep}
    outside = [n for n in graph.nodes if not n.scope]  # bodies stay in FP32
    lacking = (n for n in outside if n.type in half.lacks and n.name not in said)
    kept |= {n.name: f"TensorRT has no {n.type} in {half.called}" for n in lacking}
    misfits = [
        replace(found, nodes=nodes)
        for found in (*_activations(graph, statistics, half), *_constants(graph, half))
        if (nodes := tuple(n for n in found.nodes if n not in said and not _in_body(graph, n)))
    ]
    for found in misfits:
        reason = f"{OUT_OF_RANGE} {found.tensor}"
        kept |= {node: reason for node in found.nodes if node not in kept}
    too_large = [m for m in misfits if m.amax > half.largest]
    too_small = [m for m in misfits if m.amax <= half.largest]
    return Choice(kept=kept, diagnostics=tuple(_warnings(too_large, too_small, half)))


def _in_body(graph: Graph, node: str) -> bool:
    return bool(graph.by_name[node].scope)


def _misfit(amax: float, half: Half) -> bool:
    return amax > half.largest or 0 < amax < half.normal


def _activations(graph: Graph, statistics: Statistics, half: Half) -> Iterator[_Misfit]:
    for tensor, seen in statistics.tensors.items():
        amax = max(abs(seen.range.minimum), abs(seen.range.maximum)) if seen.range.finite else 0.0
        if _misfit(amax, half) and graph.type(tensor).dtype != TensorProto.FLOAT16:
            maker = graph.producer(tensor)
            nodes = (*((maker.name,) if maker else ()), *(e.node for e in graph.consumers(tensor)))
            yield _Misfit(tensor=tensor, amax=amax, nodes=tuple(dict.fromkeys(nodes)))


def _constants(graph: Graph, half: Half) -> Iterator[_Misfit]:
    read: dict[str, list[str]] = {}
    for node in graph.nodes:
        if node.op not in PAIR_OPS and not all(graph.is_constant(out) for out in node.outputs):
            for tensor in node.inputs:
                if graph.is_constant(tensor) and graph.type(tensor).dtype == TensorProto.FLOAT:
                    read.setdefault(tensor, []).append(node.name)
    for tensor, nodes in read.items():
        amax = _amax(graph.array(tensor))
        if _misfit(amax, half):
            yield _Misfit(tensor=tensor, amax=amax, nodes=tuple(nodes))


def _amax(values: NDArray[Any]) -> float:
    """The largest finite magnitude; infinities are in range, as every float type has them."""
    finite = values[np.isfinite(values)]
    return float(max(finite.max(), -finite.min())) if finite.size else 0.0


def _warnings(
    too_large: list[_Misfit], too_small: list[_Misfit], half: Half
) -> Iterator[Diagnostic]:
    fix = "nothing is lost; a rule with keep_fp32, true or false, decides it without a warning"
    if too_large:
        limit = f"above the {half.largest:.4g} of {half.called}"
        yield warning("OQ510", _told(too_large, limit), fix=fix)
    if too_small:
        limit = f"below the {half.normal:.2g} from which {half.called} is precise"
        yield warning("OQ511", _told(too_small, limit), fix=fix)


def _told(misfits: list[_Misfit], limit: str) -> str:
    first = misfits[0]
    nodes = dict.fromkeys(node for m in misfits for node in m.nodes)
    more = counted(len(misfits) - 1, "other tensor")
    others = f", and {more} too" if len(misfits) > 1 else ""
    which = f"'{first.nodes[0]}'" + (f" and {len(nodes) - 1} more" if len(nodes) > 1 else "")
    verb = "stay" if len(nodes) > 1 else "stays"
    return f"'{first.tensor}' reaches {first.amax:.3g}, {limit}{others}; {which} {verb} in fp32"


def held(scales: Scales, graph: Graph, choice: Choice, half: Half) -> Scales:
    """Return scales that lose next to nothing when they are rounded to the type.

    Those below its normal range are raised to what it has, which clips nothing, so that weights are
    quantized with what will be multiplied. The others stay as they are, and the int8 weights with
    them: rounding moves a scale by less than a weight's own rounding moves the weight. So does a
    scale that only FP32 ops use, and one that is float16 already.
    """
    by_pair = {
        pair: scale
        if pair.is_half or _in_fp32(graph, pair, choice)
        else np.where(scale < half.normal, representable(scale, half.dtype), scale)
        for pair, scale in scales.by_pair.items()
    }
    return replace(scales, by_pair=by_pair)


def _in_fp32(graph: Graph, pair: Pair, choice: Choice) -> bool:
    maker = graph.producer(pair.tensor)
    makers = () if pair.kind == "weight" or maker is None else (maker.name,)
    nodes = (*makers, *(e.node for e in pair.edges))
    return all(name in choice.kept or _in_body(graph, name) for name in nodes)
