"""Plan x statistics x constants -> which ops stay in FP32, and scales that it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import ml_dtypes
import numpy as np
from onnx import TensorProto

from onnxq.calibration.doubtful import unobserved_bounds
from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic, counted, warning
from onnxq.insertion.scales import Scales
from onnxq.model.graph import Graph
from onnxq.model.magnitudes import largest
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
class Fp32Ops:
    """The ops that stay in FP32, by name, each with the rule, the tensor or the fact that keeps it.

    All other ops may compute in half precision.
    """

    reasons: Mapping[str, str]
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _TensorUse:
    """A tensor, its largest magnitude or a bound of that, and the ops that make and read it."""

    tensor: str
    magnitude: float
    nodes: tuple[str, ...]


def fp32_ops(graph: Graph, plan: Plan, statistics: Statistics, half: Half) -> Fp32Ops:
    """Return the ops that the rules keep in FP32, and those that touch a tensor out of range.

    A tensor is out of range when its largest magnitude is: it then overflows, or loses bits in all
    of its values. The statistics and the constants have the magnitudes of some tensors; those of
    the others are bounded by these (`model/magnitudes.py`). The rules have the last word on an op.
    Warns with OQ510 and OQ511, and with OQ514 of tensors whose bound is out of range and which the
    calibration did not observe: their ops are in half precision.
    """
    ruled = {k.node for k in plan.kept if k.choice != "prefer-half"}
    reasons = {k.node: k.because.rule for k in plan.kept if k.choice == "fp32"}
    outside = [n for n in graph.nodes if not n.scope]  # bodies stay in FP32
    lacking = (n for n in outside if n.type in half.lacks and n.name not in ruled)
    reasons |= {n.name: f"TensorRT has no {n.type} in {half.called}" for n in lacking}
    undecided = {n.name for n in outside if n.name not in ruled}
    bounds = unobserved_bounds(graph, statistics)
    misfits = [
        replace(use, nodes=nodes)
        for use in (*_activations(graph, statistics, bounds, half), *_constants(graph, half))
        if (nodes := tuple(n for n in use.nodes if n in undecided))
    ]
    for use in misfits:
        reason = f"{OUT_OF_RANGE} {use.tensor}"
        reasons |= {node: reason for node in use.nodes if node not in reasons}
    unknown = [
        replace(use, nodes=nodes)
        for use in _doubtful(graph, bounds, half)
        if (nodes := tuple(n for n in use.nodes if n in undecided and n not in reasons))
    ]
    if not statistics.tensors:  # OQ513 says so
        unknown = []
    return Fp32Ops(
        reasons=reasons,
        diagnostics=(*_misfit_warnings(misfits, half), *_doubt_warnings(unknown, half, statistics)),
    )


def _is_misfit(magnitude: float, half: Half) -> bool:
    return magnitude > half.largest or 0 < magnitude < half.normal


def _activations(
    graph: Graph, statistics: Statistics, bounds: Mapping[str, float], half: Half
) -> Iterator[_TensorUse]:
    """The activations that are out of range: as observed, and those with too small a bound."""
    small = {tensor: bound for tensor, bound in bounds.items() if bound < half.normal}
    observed = {tensor: s.range.amax for tensor, s in statistics.tensors.items()}
    for tensor, magnitude in {**small, **observed}.items():
        if _is_misfit(magnitude, half) and graph.type(tensor).dtype != TensorProto.FLOAT16:
            yield _TensorUse(tensor=tensor, magnitude=magnitude, nodes=_users(graph, tensor))


def _doubtful(graph: Graph, bounds: Mapping[str, float], half: Half) -> Iterator[_TensorUse]:
    """The activations that may be too large for all that is known."""
    for tensor, bound in bounds.items():
        if bound > half.largest:
            yield _TensorUse(tensor=tensor, magnitude=bound, nodes=_users(graph, tensor))


def _users(graph: Graph, tensor: str) -> tuple[str, ...]:
    maker = graph.producer(tensor)
    makers = () if maker is None else (maker.name,)
    return tuple(dict.fromkeys((*makers, *(e.node for e in graph.consumers(tensor)))))


def _constants(graph: Graph, half: Half) -> Iterator[_TensorUse]:
    readers: dict[str, list[str]] = {}
    for node in graph.nodes:
        if node.op not in PAIR_OPS and not all(graph.is_constant(out) for out in node.outputs):
            for tensor in node.inputs:
                if graph.is_constant(tensor) and graph.type(tensor).dtype == TensorProto.FLOAT:
                    readers.setdefault(tensor, []).append(node.name)
    for tensor, nodes in readers.items():
        magnitude = largest(
            graph.array(tensor)
        )  # infinities are in range: every float type has them
        if _is_misfit(magnitude, half):
            yield _TensorUse(tensor=tensor, magnitude=magnitude, nodes=tuple(nodes))


def _misfit_warnings(misfits: Sequence[_TensorUse], half: Half) -> Iterator[Diagnostic]:
    fix = "nothing is lost; a rule with keep_fp32, true or false, decides it without a warning"
    too_large = [use for use in misfits if use.magnitude > half.largest]
    too_small = [use for use in misfits if use.magnitude <= half.largest]
    if too_large:
        limit = f"above the {half.largest:.4g} of {half.called}"
        yield warning("OQ510", _misfit_message(too_large, limit), fix=fix)
    if too_small:
        limit = f"below the {half.normal:.2g} from which {half.called} is precise"
        yield warning("OQ511", _misfit_message(too_small, limit), fix=fix)


def _misfit_message(misfits: Sequence[_TensorUse], limit: str) -> str:
    first = misfits[0]
    others = f", and {_more(misfits)} too" if len(misfits) > 1 else ""
    nodes, verb = _nodes(misfits, "stay")
    return (
        f"'{first.tensor}' reaches {first.magnitude:.3g}, {limit}{others}; {nodes} {verb} in fp32"
    )


def _doubt_warnings(
    unknown: Sequence[_TensorUse], half: Half, statistics: Statistics
) -> Iterator[Diagnostic]:
    if unknown:
        library = " and --ort-library LIB.so" if statistics.unobserved else ""
        others = f", nor that of {_more(unknown)}" if len(unknown) > 1 else ""
        nodes, verb = _nodes(unknown, "compute")
        yield warning(
            "OQ514",
            f"the calibration does not have the range of '{unknown[0].tensor}', which may exceed "
            f"the {half.largest:.4g} of {half.called}{others}; {nodes} {verb} in {half.called}",
            fix=f"calibrate with --float {half.called}{library}, or write a rule with keep_fp32",
        )


def _more(uses: Sequence[_TensorUse]) -> str:
    return counted(len(uses) - 1, "other tensor")


def _nodes(uses: Sequence[_TensorUse], verb: str) -> tuple[str, str]:
    """The first op with the number of the others, and the verb in the right form."""
    nodes = dict.fromkeys(node for use in uses for node in use.nodes)
    if len(nodes) == 1:
        return f"'{uses[0].nodes[0]}'", f"{verb}s"
    return f"'{uses[0].nodes[0]}' and {len(nodes) - 1} more", verb


def representable_scales(scales: Scales, graph: Graph, fp32: Fp32Ops, half: Half) -> Scales:
    """Return scales that lose next to nothing when they are rounded to the type.

    Those below its normal range are raised to the next value that it has, which clips nothing, so
    that weights are quantized with the scale that they are multiplied with. The others stay as they
    are, and the int8 weights with them: rounding moves a scale by less than a weight's own rounding
    moves the weight. A scale that only FP32 ops use stays too, and one that is float16 already.
    """
    by_pair = {
        pair: scale
        if pair.is_half or _in_fp32(graph, pair, fp32)
        else np.where(scale < half.normal, representable(scale, half.dtype), scale)
        for pair, scale in scales.by_pair.items()
    }
    return replace(scales, by_pair=by_pair)


def _in_fp32(graph: Graph, pair: Pair, fp32: Fp32Ops) -> bool:
    maker = graph.producer(pair.tensor)
    makers = () if pair.kind == "weight" or maker is None else (maker.name,)
    nodes = (*makers, *(e.node for e in pair.edges))
    return all(name in fp32.reasons or graph.by_name[name].scope for name in nodes)
