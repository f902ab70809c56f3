"""Plan: which tensors get a pair, by which rule, and which share a scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import Diagnostic, Span
from onnxq.model.graph import Edge

PairKind = Literal["activation", "weight"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Because:
    """The rule that made a decision, the node at which it matched, and what its names bound."""

    rule: str
    why: str
    span: Span
    node: str
    bindings: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision of the rules on one use of a tensor; `descriptor` None means float.

    `overrides` are the earlier rules on it, which lost, oldest first.
    """

    tensor: str
    edge: Edge
    kind: PairKind
    descriptor: QuantDescriptor | None
    because: Because
    overrides: tuple[Because, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The decision of the rules on the type of one op where the float rest is in half precision.

    `keep` True means FP32; False means half precision, whatever the data shows. `overrides` as in
    Decision.
    """

    node: str
    keep: bool
    because: Because
    overrides: tuple[Because, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One Q/DQ pair: a tensor, its descriptor, and the uses that read it through the pair.

    `axis` is the channel axis of a per-channel pair. `group` numbers the share group, if any.
    `existing` is the output of a pair that the model already has on this tensor: the new pair
    takes its scale, whatever the descriptor, and is the same pair where the order of nodes allows
    it. With `is_half` the tensor and the scale are float16.
    """

    tensor: str
    kind: PairKind
    descriptor: QuantDescriptor
    axis: int | None
    edges: tuple[Edge, ...]
    group: int | None
    existing: str | None = None
    is_half: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Tensors that share one scale where they have a pair, and the rules that tied them."""

    tensors: tuple[str, ...]
    because: tuple[Because, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every decision of a recipe for a model, in graph order.

    `unmatched` are the ids of the rules on pairs that matched no node. `edited` is True for a saved
    plan whose decisions were changed by hand.
    """

    model_digest: str
    recipe: str
    recipe_digest: str
    decisions: tuple[Decision, ...]
    pairs: tuple[Pair, ...]
    groups: tuple[Group, ...]
    kept: tuple[Kept, ...]
    unmatched: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]
    edited: bool = False

    @property
    def needs_data(self) -> bool:
        """True when some activation has a pair, whose scale comes from a calibration."""
        return any(pair.kind == "activation" for pair in self.pairs)
