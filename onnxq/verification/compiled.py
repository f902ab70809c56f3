"""How an engine computes each weighted op: data type, reason, MACs, and the shares of all ops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from onnx import TensorProto

from onnxq.diagnostics import Diagnostic, Severity, counted
from onnxq.kernels.conversions import Conversions
from onnxq.kernels.layers import Computed, LayerList, Precision
from onnxq.linting import Expected, QdqModel, predict_op
from onnxq.linting.operands import operand_types
from onnxq.model.graph import Node
from onnxq.model.ops import traits
from onnxq.model.products import macs, runs_once
from onnxq.sessions import Libraries
from onnxq.verification.profiles import Profile
from onnxq.verification.shapes import Shapes
from onnxq.verification.targets import Target
from onnxq.verification.twins import Twins

_OTHERWISE: Final[Mapping[Precision, str]] = {
    "fp8": "it is quantized to fp8",
    "int4": "its weights are int4, and it computes in float",
}
_FLOATS: Final[Mapping[int, str]] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledOp:
    """One weighted op of the Q/DQ model; `reason` says why it is not int8, or is '' if it is int8.

    `expected` is the precision that lint predicted. `dtype` is the type that the op multiplies:
    'int8', 'fp8', 'fp32', 'fp16', 'bf16', or '' when the engine does not show it; 'int4' means
    INT4 weights multiplied with floats. `layers` are the engine's layers that compute the op.
    `macs` is None when the shapes are unknown, or the number of runs in a Loop or Scan is.
    """

    node: str
    op: str
    precision: Precision
    expected: Expected
    dtype: str
    reason: str
    macs: int | None
    layers: tuple[str, ...]


class OpCount(NamedTuple):
    """Number of ops of one type: in int8, in fp8, with int4 weights, and in total."""

    int8: int
    fp8: int
    int4: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledReport:
    """Every weighted op in node order, and the engine's size. It shows data types, not speed.

    `targets` are the requested compute capabilities; none means the compiler's defaults.
    `conversions` is None when the compiler does not list its kernels. `fp32_engine_bytes` is the
    size of the float model's engine; None when that engine was not built. `without` are the nodes
    in front of which the engine ends, because the compiler does not know them. `engine_file` is
    where the engine was written; '' if it was not.
    """

    backend: str
    version: str
    targets: tuple[Target, ...]
    engine_bytes: int
    engine_file: str = ""
    fp32_engine_bytes: int | None = None
    conversions: Conversions | None
    ops: tuple[CompiledOp, ...]
    without: tuple[str, ...] = ()
    notes: tuple[Diagnostic, ...] = ()

    @property
    def int8(self) -> int:
        """Number of weighted ops in int8."""
        return sum(op.precision == "int8" for op in self.ops)

    @property
    def counts(self) -> Mapping[str, OpCount]:
        """By op type: the number of quantized ops, and of all ops."""
        by_op: dict[str, Counter[str]] = {}
        for op in self.ops:
            by_op.setdefault(op.op, Counter())[op.precision] += 1
        return {
            kind: OpCount(n["int8"], n["fp8"], n["int4"], total=n.total())
            for kind, n in sorted(by_op.items())
        }

    @property
    def macs(self) -> Mapping[str, float] | None:
        """Share of multiply-accumulates by data type; None when those of an op are unknown.

        The types are those of CompiledOp.dtype, with 'unknown' where the engine does not show it.
        """
        counts = [op.macs for op in self.ops if op.macs is not None]
        total = sum(counts)
        if len(counts) < len(self.ops) or not total:
            return None
        shares: Counter[str] = Counter()
        for op in self.ops:
            shares[op.dtype or op.precision] += op.macs or 0
        return {dtype: count / total for dtype, count in shares.items()}

    @property
    def int8_macs(self) -> float | None:
        """Share of multiply-accumulates known to be in int8, 0 to 1; None when `macs` is None."""
        shares = self.macs
        return None if shares is None else shares.get("int8", 0.0)

    @property
    def quantized_macs(self) -> float | None:
        """Share of MACs in int8 or fp8, or with int4 weights, 0 to 1; None when `macs` is None."""
        shares = self.macs
        return None if shares is None else sum(shares.get(t, 0.0) for t in ("int8", "fp8", "int4"))


def compiled_ops(
    model: QdqModel,
    layers: LayerList,
    profiles: Mapping[str, Profile],
    libraries: Libraries = (),
) -> tuple[CompiledOp, ...]:
    """Determine from the engine's layers how each weighted op is computed, in node order."""
    nodes = model.product_nodes
    sizes = {name: profile.opt for name, profile in profiles.items()}
    shapes = Shapes(model.named, model.graph, sizes, libraries)
    shapes.observe(t for n in nodes for t in (*n.inputs, *n.outputs[:1]))
    twins = Twins(model)
    return tuple(
        _compiled_op(model, shapes, node, layers, _computed(layers, twins, node)) for node in nodes
    )


def _computed(layers: LayerList, twins: Twins, node: Node) -> Computed:
    """How a node is computed; if no layer names it, that of a node which computes the same."""
    computed = layers.computed(node.name)
    if computed.layers or not layers.is_whole:
        return computed
    others = (layers.computed(twin.name) for twin in twins.of(node))
    return next((other for other in others if other.layers), computed)


def unexpected(ops: Sequence[CompiledOp]) -> tuple[Diagnostic, ...]:
    """Report ops that the engine computes otherwise than lint predicted (OQ640)."""
    others = [op for op in ops if op.precision not in (op.expected, "unknown")]
    if not others:
        return ()
    first = others[0]
    summary = f"{counted(len(others), 'op')} computed otherwise than lint expected, such as"
    return (
        Diagnostic(
            code="OQ640",
            message=f"{summary} {first.op} '{first.node}': {first.precision}, not {first.expected}",
            fix="rely on the engine; it can differ by target and by version",
            severity=Severity.INFO,
        ),
    )


def _compiled_op(
    model: QdqModel, shapes: Shapes, node: Node, layers: LayerList, computed: Computed
) -> CompiledOp:
    prediction = predict_op(model, node)
    why = prediction.reason
    sure = not (
        why and computed.precision == "int8" and any(x.is_attention for x in computed.layers)
    )
    precision = computed.precision if sure else "unknown"
    dtype = computed.dtype if sure else ""
    if precision == "unknown" and not _reads_pairs(model, node):
        precision, dtype = "float", _FLOATS.get(model.graph.type(node.inputs[0]).dtype, "")
    return CompiledOp(
        node=node.name,
        op=node.op,
        precision=precision,
        expected=prediction.precision,
        dtype=dtype,
        reason=_reason(precision, why, node, computed, layers),
        macs=macs(shapes.sizes, node) if runs_once(model.graph, node) else None,
        layers=tuple(layer.name for layer in computed.layers),
    )


def _reads_pairs(model: QdqModel, node: Node) -> bool:
    """False for what TensorRT computes in float whatever its layers show: it quantizes no more
    than the file says."""
    return traits(node).weighted and any(operand_types(model, node).values())


def _reason(
    precision: Precision, why: str, node: Node, computed: Computed, layers: LayerList
) -> str:
    if precision == "int8":
        return ""
    if precision in _OTHERWISE:
        return _OTHERWISE[precision]
    if precision == "float":
        return why or "the compiler chose float"
    if layers.unreadable or not layers.layers:
        return "the compiler's list of layers could not be read"
    if not computed.layers:
        return "no engine layer names it"
    if not layers.is_whole:
        return f"the compiler does not list what the layer '{computed.layers[0].name}' multiplies"
    return f"it is part of the kernel '{computed.layers[0].name}', which reads int8 too"
