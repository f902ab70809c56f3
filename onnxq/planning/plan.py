"""Plan: which tensors get a pair, by which rule, and which share a scale."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import Diagnostic, Span
from onnxq.model.existing import is_decided
from onnxq.model.graph import Edge, Graph
from onnxq.model.node_inputs import data_slots
from onnxq.model.products import is_weighted
from onnxq.planning.improvers import ImproverName
from onnxq.shown import Shown, renderer

PairKind = Literal["activation", "weight"]
FLOAT: Final = "float"
FloatChoice = Literal["fp32", "half", "prefer-half"]  # instead of a descriptor, of a whole op
WHOLE_OP: Final = "-"  # instead of an input
NO_GROUP: Final = "-"
NO_RULE: Final = "-"
TIE: Final = "share_scale"  # instead of a descriptor, of a whole op


@dataclass(frozen=True, slots=True, kw_only=True)
class Because:
    """The rule that made a decision, the node at which it matched, and what its names bound."""

    rule: str
    why: str
    span: Span
    node: str
    bindings: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The rule and its place."""
        return {"rule": self.rule, "file": self.span.file, "line": self.span.line}

    def with_reason(self) -> dict[str, Any]:
        """The rule, its place, its reason and what its names bound."""
        names = {name: list(tensors) for name, tensors in self.bindings}
        return {**self.to_dict(), "why": self.why, "names": names}


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

    "fp32" and "half" mean that type, whatever the data shows; "prefer-half" means that the op has
    no pairs then, and computes in half precision if the data allows it. `overrides` as in Decision.
    """

    node: str
    choice: FloatChoice
    because: Because
    overrides: tuple[Because, ...]

    def to_dict(self) -> dict[str, Any]:
        """What is decided, and by which rules."""
        return {
            "node": self.node,
            "keep_fp32": self.choice == "fp32",
            "prefer_half": self.choice == "prefer-half",
            "decided_by": self.because.with_reason(),
            "overrides": [b.to_dict() for b in self.overrides],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvable:
    """The decision of the rules on what `onnxq improve` may do to one op; `overrides` as before."""

    node: str
    improvers: tuple[ImproverName, ...]
    because: Because
    overrides: tuple[Because, ...]

    def to_dict(self) -> dict[str, Any]:
        """What is decided, and by which rules."""
        return {
            "node": self.node,
            "improve": list(self.improvers),
            "decided_by": self.because.with_reason(),
            "overrides": [b.to_dict() for b in self.overrides],
        }


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
class Tie:
    """Tensors that a rule gives one scale at one node.

    With `within`, a tensor leaves whose amax is more than that many times smaller than the largest
    of its group (`insertion/ties.py`); None ties them all, whatever their ranges.
    """

    tensors: tuple[str, ...]
    within: float | None
    because: Because

    def __str__(self) -> str:
        """One word, such as share_scale:within(4)."""
        limit = repr(self.within).removesuffix(".0")
        return TIE if self.within is None else f"{TIE}:within({limit})"

    def to_dict(self) -> dict[str, Any]:
        """The node, the rule and the limit."""
        return {"node": self.because.node, **self.because.to_dict(), "within": self.within}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Tensors that share one scale where they have a pair, and the ties that make it so."""

    tensors: tuple[str, ...]
    ties: tuple[Tie, ...]

    @property
    def because(self) -> tuple[Because, ...]:
        """The rules that tied them."""
        return tuple(tie.because for tie in self.ties)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One decision as a plan shows it."""

    node: str
    input: str
    tensor: str
    descriptor: str
    group: str
    rule: str
    where: str

    def fields(self) -> tuple[str, ...]:
        """All of it, in the order of the text."""
        return (*self.decided(), self.rule, self.where)

    def decided(self) -> tuple[str, ...]:
        """What is decided, without the rule that did."""
        return (self.node, self.input, self.tensor, self.descriptor, self.group)


@dataclass(frozen=True, kw_only=True, repr=False)
class Plan(Shown):
    """Every decision of a recipe for the model of `graph`, in graph order.

    `improvable` has no part in the digest: it changes no pair.
    `unmatched` are the ids of the rules on pairs that matched no node. `edited` is True for a saved
    plan whose decisions were changed by hand. `files` are those that it was read from.
    """

    model_digest: str
    recipe: str
    recipe_digest: str
    decisions: tuple[Decision, ...]
    pairs: tuple[Pair, ...]
    groups: tuple[Group, ...]
    kept: tuple[Kept, ...]
    improvable: tuple[Improvable, ...] = field(default=(), compare=False)
    unmatched: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]
    edited: bool = False
    files: tuple[Path, ...] = field(default=(), compare=False)
    graph: Graph = field(compare=False)

    @property
    def needs_data(self) -> bool:
        """True when some activation has a pair whose scale comes from a calibration."""
        return any(p.kind == "activation" and p.descriptor.amax is None for p in self.pairs)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """Every decision, in graph order, then the ties, then the ops that `keep_fp32` decides."""
        pair_of = {edge: pair for pair in self.pairs for edge in pair.edges}
        labels = self._group_labels()
        decided = (_line(d, pair_of.get(d.edge), labels) for d in self.decisions)
        tied = (_tie_line(tie, label) for tie, label in self.labelled_ties())
        return (*decided, *tied, *map(_kept_line, self.kept))

    def labelled_ties(self) -> Iterator[tuple[Tie, str]]:
        """The ties of the groups that have more than one pair, with the name of the group."""
        for index, label in self._group_labels().items():
            if index is not None:
                yield from ((tie, label) for tie in self.groups[index].ties)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what is decided, whichever rules decided it."""
        return digest(self.lines)

    @property
    def improving(self) -> dict[tuple[str, tuple[ImproverName, ...]], int]:
        """The number of ops by the rule that lets improvers act on them, and those improvers."""
        return dict(Counter((i.because.rule, i.improvers) for i in self.improvable))

    def to_html(self, model: str = "") -> str:
        """The network with its pairs and rules as a page that loads nothing, for a model's name.

        OQ670 if a package that draws pages is not installed.
        """
        return renderer().plan_page(self, model)

    def _group_labels(self) -> dict[int | None, str]:
        """Names of the groups that have more than one pair, in order of their first pair."""
        members = Counter(pair.group for pair in self.pairs if pair.group is not None)
        shared = [group for group, count in members.items() if count > 1]
        return {group: f"g{index}" for index, group in enumerate(shared, start=1)}

    def to_dict(self) -> dict[str, Any]:
        """Every decision as a line, and the diagnostics."""
        return {
            "lines": [asdict(line) for line in self.lines],
            "improve": {
                rule: {"ops": ops, "improvers": list(improvers)}
                for (rule, improvers), ops in self.improving.items()
            },
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }


def undecided(plan: Plan) -> tuple[Line, ...]:
    """Inputs of weighted ops that no rule decides: they stay float."""
    graph, decided = plan.graph, {d.edge for d in plan.decisions}
    return tuple(
        Line(
            node=node.name,
            input=f"input[{slot}]",
            tensor=node.inputs[slot],
            descriptor=FLOAT,
            group=NO_GROUP,
            rule=NO_RULE,
            where=NO_RULE,
        )
        for node in graph.nodes
        if is_weighted(graph, node)
        for slot in data_slots(graph, node)
        if (edge := Edge(node=node.name, slot=slot)) not in decided and not is_decided(graph, edge)
    )


def digest(lines: Iterable[Line]) -> str:
    """SHA-256 (hex) of what lines decide, whichever rules decided it."""
    decided = "\n".join("  ".join(line.decided()) for line in lines)
    return hashlib.sha256(decided.encode()).hexdigest()


def _line(decision: Decision, pair: Pair | None, labels: Mapping[int | None, str]) -> Line:
    return Line(
        node=decision.edge.node,
        input=f"input[{decision.edge.slot}]",
        tensor=decision.tensor,
        descriptor=FLOAT if pair is None else pair.descriptor.text(pair.axis),
        group=NO_GROUP if pair is None else labels.get(pair.group, NO_GROUP),
        rule=decision.because.rule,
        where=decision.because.span.place,
    )


def _tie_line(tie: Tie, label: str) -> Line:
    return Line(
        node=tie.because.node,
        input=WHOLE_OP,
        tensor=listed(tie.tensors),
        descriptor=str(tie),
        group=label,
        rule=tie.because.rule,
        where=tie.because.span.place,
    )


def listed(tensors: tuple[str, ...]) -> str:
    """Names between commas; as JSON where one of them has a comma or begins like JSON."""
    is_plain = not any("," in name or name.startswith("[") for name in tensors)
    return ",".join(tensors) if is_plain else json.dumps(tensors)


def _kept_line(kept: Kept) -> Line:
    return Line(
        node=kept.node,
        input=WHOLE_OP,
        tensor=WHOLE_OP,
        descriptor=kept.choice,
        group=NO_GROUP,
        rule=kept.because.rule,
        where=kept.because.span.place,
    )
