"""Graph x recipe -> Plan: rules are applied in order, and the last that matches a site wins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import Diagnostic, OnnxqError, Severity, Span, counted, warning
from onnxq.model import existing
from onnxq.model.graph import Edge, Graph, Node
from onnxq.model.ops import PRODUCTS
from onnxq.model.products import is_product, is_weighted, kept_float
from onnxq.planning import rule_findings as findings
from onnxq.planning.improvers import ImproverName
from onnxq.planning.pairs import fold
from onnxq.planning.plan import Because, Decision, FloatChoice, Improvable, Kept, Plan, Tie
from onnxq.planning.recipe import Recipe
from onnxq.planning.rule_compiler import Rule
from onnxq.planning.selectors import Binding
from onnxq.planning.sites import Sites
from onnxq.planning.ties import joined

Verdict = QuantDescriptor | None  # None is float
Improvers = tuple[ImproverName, ...]


def plan(graph: Graph, recipe: Recipe) -> Plan:
    """Apply every rule of the recipe in order; the last that matches a site wins.

    Raises OnnxqError when the decisions contradict each other or TensorRT's rules (OQ2xx), or when
    matching a rule would not end (OQ105, OQ226).
    """
    drafted = draft(graph, recipe)
    if errors := [d for d in drafted.diagnostics if d.severity is Severity.ERROR]:
        raise OnnxqError(*errors)
    return drafted


def draft(graph: Graph, recipe: Recipe) -> Plan:
    """Like `plan`, with errors among its diagnostics: to explain, not to insert from."""
    cascade = _Cascade(graph)
    for rule in recipe.rules:
        cascade.apply(rule)
    decisions, groups, kept = cascade.decisions(), joined(cascade.ties.values()), cascade.kept_ops()
    improvable = cascade.improvable_ops()
    pairs, problems = fold(graph, decisions, groups)
    own = frozenset(rule.span for rule in recipe.rules if rule.own)
    diagnostics = [
        *cascade.diagnostics,
        *cascade.reversals(own),
        *findings.overridden(recipe, (*decisions, *kept, *improvable), groups),
        *problems,
    ]
    if not pairs and not problems and not cascade.has_kept:
        diagnostics.append(
            warning(
                "OQ205",
                f"recipe '{recipe.name}' quantizes nothing in this model",
                fix="check its 'match' keys against the model's ops and names",
            )
        )
    if hidden := [op for op in graph.hidden_ops if op in PRODUCTS]:
        diagnostics.append(
            warning(
                "OQ216",
                f"{counted(len(hidden), 'weighted op')} left in float inside a local function or "
                f"a subgraph of another op than If, Loop and Scan, such as {hidden[0]}",
                fix="export the model without them",
            )
        )
    diagnostics += _without_int8(graph)
    return Plan(
        model_digest=graph.digest,
        recipe=recipe.name,
        recipe_digest=recipe.digest,
        files=recipe.files,
        decisions=decisions,
        pairs=pairs,
        groups=groups,
        kept=kept,
        improvable=improvable,
        unmatched=tuple(cascade.unmatched),
        diagnostics=tuple(diagnostics),
        graph=graph,
    )


@dataclass(slots=True)
class _Cascade:
    """The state while rules are applied one after the other."""

    graph: Graph
    decided: dict[Edge, list[tuple[Verdict, Because]]] = field(default_factory=dict)
    ties: dict[str, Tie] = field(default_factory=dict)
    kept: dict[str, list[tuple[FloatChoice, Because]]] = field(default_factory=dict)
    improvable: dict[str, list[tuple[Improvers, Because]]] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    has_kept: bool = False  # a rule would put a pair where the model has one
    sites: Sites = field(init=False)

    def __post_init__(self) -> None:
        self.sites = Sites(self.graph)

    def apply(self, rule: Rule) -> None:
        try:
            matches = rule.select(self.graph)
        except OnnxqError as failure:
            self.diagnostics += failure.diagnostics
            return
        absent: dict[str, list[Node]] = {}
        for node, ways in matches:
            if len(ways) > 1:
                self.diagnostics.append(findings.ambiguous(rule, node, ways))
            else:
                for port in self._act(rule, node, ways[0]):
                    absent.setdefault(port, []).append(node)
        self.diagnostics += [findings.absent(rule, port, nodes) for port, nodes in absent.items()]
        if not matches and rule.places_pairs:
            self.unmatched.append(rule.id)
        applied = any(len(ways) == 1 for _, ways in matches)
        if (rule.required and not applied) or (rule.own and not matches):
            self.diagnostics.append(findings.unmatched(rule, ambiguous=bool(matches)))

    def _act(self, rule: Rule, node: Node, binding: Binding) -> list[str]:
        """Apply the actions of a rule to one match; return the ports that the node lacks."""
        because = Because(
            rule=rule.id,
            why=rule.why,
            span=rule.span,
            node=node.name,
            bindings=tuple((name, bound.tensors) for name, bound in sorted(binding.items())),
        )
        verdicts: list[tuple[str, Verdict]] = [*rule.quantize, *((p, None) for p in rule.skip)]
        decided: dict[Edge, str] = {}
        absent = []
        for port, verdict in verdicts:
            if (edges := self.sites.edges(node, binding, port)) is None:
                absent.append(port)
            for edge in edges or ():
                if decided.setdefault(edge, port) != port:
                    self.diagnostics.append(findings.decided_twice(rule, edge, decided[edge], port))
                self._decide(edge, verdict, because)
        tied: list[str] = []
        for port in rule.share_scale or ():
            if (tensors := self.sites.tensors(node, binding, port)) is None:
                absent.append(port)
            tied += tensors or ()
        if rule.share_scale is not None:
            tensors = tuple(dict.fromkeys(tied))
            self.ties[node.name] = Tie(tensors=tensors, within=rule.within, because=because)
        self._choose_float(rule, node, because)
        if rule.improve is not None:
            self.improvable.setdefault(node.name, []).append((rule.improve, because))
        return absent

    def _choose_float(self, rule: Rule, node: Node, because: Because) -> None:
        choices = self.kept.setdefault(node.name, [])
        if rule.keep_fp32:
            choices.append(("fp32", because))
        elif rule.keep_fp32 is not None:  # takes no prefer_half back
            below = len(choices) - bool(choices and choices[-1][0] == "prefer-half")
            choices.insert(below, ("half", because))
        if rule.prefer_half is not None:
            choices[:] = [(c, b) for c, b in choices if c != "prefer-half"]
        if rule.prefer_half:
            choices.append(("prefer-half", because))

    def _decide(self, edge: Edge, verdict: Verdict, because: Because) -> None:
        if existing.is_decided(self.graph, edge):
            is_kept = existing.is_quantized(self.graph, self.graph.tensor(edge))
            self.has_kept |= verdict is not None and is_kept
            return
        verdicts = self.decided.setdefault(edge, [])
        if verdicts and verdicts[-1][1].span == because.span:  # the same rule, at another match
            verdicts.pop()
        verdicts.append((verdict, because))

    def decisions(self) -> tuple[Decision, ...]:
        return tuple(
            Decision(
                tensor=self.graph.tensor(edge),
                edge=edge,
                kind="weight" if self.graph.is_constant(self.graph.tensor(edge)) else "activation",
                descriptor=verdicts[-1][0],
                because=verdicts[-1][1],
                overrides=tuple(because for _, because in verdicts[:-1]),
            )
            for node in self.graph.nodes
            for slot in range(len(node.inputs))
            if (verdicts := self.decided.get(edge := Edge(node=node.name, slot=slot)))
        )

    def kept_ops(self) -> tuple[Kept, ...]:
        return tuple(
            Kept(
                node=node.name,
                choice=verdicts[-1][0],
                because=verdicts[-1][1],
                overrides=tuple(because for _, because in verdicts[:-1]),
            )
            for node in self.graph.nodes
            if (verdicts := self.kept.get(node.name))
        )

    def improvable_ops(self) -> tuple[Improvable, ...]:
        return tuple(
            Improvable(
                node=node.name,
                improvers=verdicts[-1][0],
                because=verdicts[-1][1],
                overrides=tuple(because for _, because in verdicts[:-1]),
            )
            for node in self.graph.nodes
            if (verdicts := self.improvable.get(node.name))
        )

    def reversals(self, own: frozenset[Span]) -> Iterator[Diagnostic]:
        """OQ211 for inputs that one of the user's rules quantizes and an earlier one skipped."""
        by_rules: dict[tuple[Span, Span], list[tuple[Edge, Because, Because]]] = {}
        for edge, verdicts in self.decided.items():
            verdict, winner = verdicts[-1]
            skips = [because for earlier, because in verdicts[:-1] if earlier is None]
            if verdict is not None and skips and winner.span in own:
                rules = (winner.span, skips[-1].span)
                by_rules.setdefault(rules, []).append((edge, winner, skips[-1]))
        return (findings.after_skip(*edges[0], len(edges)) for edges in by_rules.values())


def _without_int8(graph: Graph) -> Iterator[Diagnostic]:
    """OQ220 for products that TensorRT computes in float, whatever the rules."""
    products = [n for n in graph.nodes if is_product(graph, n) and not is_weighted(graph, n)]
    if products:
        first = products[0]
        counts = ", ".join(f"{op} {n}" for op, n in Counter(p.op for p in products).items())
        stay = "stays" if len(products) == 1 else "stay"
        yield Diagnostic(
            code="OQ220",
            message=f"{counted(len(products), 'product')} {stay} in float, whatever the rules "
            f"({counts}); {first.op} '{first.name}': {kept_float(first)}",
            fix="export it as MatMul, Gemm or Conv if it is to run in INT8",
            severity=Severity.INFO,
        )
