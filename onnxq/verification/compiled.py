"""What an engine makes of each weighted op: data type, reason, MACs, and the shares of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from onnxq.diagnostics import Diagnostic, Severity, counted
from onnxq.linting import Expected, QdqModel, predict_op
from onnxq.model.graph import Node
from onnxq.verification.conversions import Conversions
from onnxq.verification.layers import Computed, LayerList, Precision
from onnxq.verification.macs import is_product, macs, runs_once
from onnxq.verification.profiles import Profile
from onnxq.verification.shapes import Shapes
from onnxq.verification.targets import Target

_OTHERWISE: Final[Mapping[Precision, str]] = {
    "fp8": "it is quantized to fp8",
    "int4": "its weights are int4, and it computes in float",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledOp:
    """One weighted op of the Q/DQ model; `reason` says why it is not int8, else it is ''.

    `expected` is what lint expected of it. `dtype` is what it multiplies: 'int8', 'fp8', 'fp32',
    'fp16', 'bf16', or '' when the engine does not tell; 'int4' are weights that are multiplied
    with floats. `layers` are the engine's layers that compute it. `macs` is None when its shapes
    are not known, or how often a Loop or Scan runs it.
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
    """Weighted ops of a kind: how many are int8 or fp8 or have int4 weights, and how many are."""

    int8: int
    fp8: int
    int4: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledReport:
    """Every weighted op in node order, and the engine's size. Tells data types, not speed.

    `targets` are the compute capabilities that were asked for; none means the compiler's defaults.
    `conversions` are None where the compiler does not list its kernels, `fp32_engine_bytes` is the
    size of the float model's engine, when that was built too.
    """

    backend: str
    version: str
    targets: tuple[Target, ...]
    engine_bytes: int
    fp32_engine_bytes: int | None = None
    conversions: Conversions | None
    ops: tuple[CompiledOp, ...]
    notes: tuple[Diagnostic, ...] = ()

    @property
    def int8(self) -> int:
        """Number of weighted ops in int8."""
        return sum(op.precision == "int8" for op in self.ops)

    @property
    def counts(self) -> Mapping[str, OpCount]:
        """By kind of op: how many are quantized, and how many there are."""
        found: dict[str, Counter[str]] = {}
        for op in self.ops:
            found.setdefault(op.op, Counter())[op.precision] += 1
        return {
            kind: OpCount(n["int8"], n["fp8"], n["int4"], total=n.total())
            for kind, n in sorted(found.items())
        }

    @property
    def macs(self) -> Mapping[str, float] | None:
        """Share of multiply-accumulates by data type; None when one op's are not known.

        The types are those of CompiledOp.dtype, with 'unknown' for an op that nothing tells about.
        """
        known = [op.macs for op in self.ops if op.macs is not None]
        total = sum(known)
        if len(known) < len(self.ops) or not total:
            return None
        shares: Counter[str] = Counter()
        for op in self.ops:
            shares[op.dtype or op.precision] += op.macs or 0
        return {dtype: count / total for dtype, count in shares.items()}

    @property
    def int8_macs(self) -> float | None:
        """Share of multiply-accumulates that surely are in int8, 0 to 1; None as `macs`."""
        shares = self.macs
        return None if shares is None else shares.get("int8", 0.0)

    @property
    def quantized_macs(self) -> float | None:
        """Share of multiply-accumulates in int8 or fp8, or with int4 weights; None as `macs`."""
        shares = self.macs
        return None if shares is None else sum(shares.get(t, 0.0) for t in ("int8", "fp8", "int4"))


def compiled_ops(
    read: QdqModel, layers: LayerList, profiles: Mapping[str, Profile]
) -> tuple[CompiledOp, ...]:
    """Tell every weighted op of a Q/DQ model in node order from its engine's layers."""
    nodes = [n for n in read.graph.nodes if is_product(n)]
    shapes = Shapes(
        read.named, read.graph, {name: profile.opt for name, profile in profiles.items()}
    )
    shapes.observe(t for n in nodes for t in (*n.inputs[:2], n.outputs[0]))
    return tuple(_compiled_op(read, shapes, layers, node) for node in nodes)


def unexpected(ops: Sequence[CompiledOp]) -> tuple[Diagnostic, ...]:
    """Tell where the engine is another than lint expected: its rules are of other builds."""
    others = [op for op in ops if op.precision not in (op.expected, "unknown")]
    if not others:
        return ()
    first = others[0]
    told = f"{counted(len(others), 'op')} computed otherwise than lint expected, such as"
    return (
        Diagnostic(
            code="OQ640",
            message=f"{told} {first.op} '{first.node}': {first.precision}, not {first.expected}",
            fix="rely on the engine; it can differ by target and by version",
            severity=Severity.INFO,
        ),
    )


def _compiled_op(read: QdqModel, shapes: Shapes, layers: LayerList, node: Node) -> CompiledOp:
    found, told = layers.computed(node.name), predict_op(read, node)
    why = told.reason
    sure = not (why and found.precision == "int8" and any(x.is_attention for x in found.layers))
    precision = found.precision if sure else "unknown"
    return CompiledOp(
        node=node.name,
        op=node.op,
        precision=precision,
        expected=told.precision,
        dtype=found.dtype if sure else "",
        reason=_reason(precision, why, node, found, layers),
        macs=macs(shapes.sizes, node) if runs_once(read.graph, node) else None,
        layers=tuple(layer.name for layer in found.layers),
    )


def _reason(precision: Precision, why: str, node: Node, found: Computed, layers: LayerList) -> str:
    if precision == "int8":
        return ""
    if precision in _OTHERWISE:
        return _OTHERWISE[precision]
    if precision == "float":
        return why or "the compiler chose float"
    if layers.unreadable or not layers.layers:
        return "the compiler's list of layers could not be read"
    if not found.layers:
        return "no engine layer names it"
    if not layers.is_whole:
        return f"what the layer '{found.layers[0].name}' multiplies is not told"
    return f"it is part of the kernel '{found.layers[0].name}', which reads int8 too"
