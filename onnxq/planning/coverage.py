"""How much of a model a plan covers, in numbers."""

from __future__ import annotations

from collections import Counter

from onnxq.model.existing import is_decided
from onnxq.model.graph import Edge
from onnxq.model.node_inputs import data_slots
from onnxq.model.products import is_product, is_weighted
from onnxq.planning.plan import Plan


def coverage(plan: Plan) -> dict[str, int]:
    """Counts of decisions, pairs, shared scales, and of weighted ops that are quantized.

    A weighted op is quantized when all of its data inputs have pairs, or its weight is int4. Those
    of which TensorRT has no INT8 form count too, and never are.
    """
    graph = plan.graph
    paired = {edge for p in plan.pairs for edge in p.edges}
    products = [n for n in graph.nodes if is_product(graph, n)]
    weighted = [n for n in products if is_weighted(graph, n)]
    inputs = {n.name: [Edge(node=n.name, slot=s) for s in data_slots(graph, n)] for n in weighted}
    existing = {e for edges in inputs.values() for e in edges if is_decided(graph, e)}
    int4 = {e for p in plan.pairs if p.descriptor.dtype == "int4" for e in p.edges}
    quantized = [
        n
        for n in weighted
        if existing.union(paired).issuperset(inputs[n.name]) or int4.intersection(inputs[n.name])
    ]
    pairs = Counter(p.kind for p in plan.pairs)
    tied = Counter(p.group for p in plan.pairs if p.group is not None)
    return {
        "activation_pairs": pairs["activation"],
        "weight_pairs": pairs["weight"],
        "quantized": sum(d.descriptor is not None for d in plan.decisions),
        "skipped": sum(d.descriptor is None for d in plan.decisions),
        "shared_scales": sum(n > 1 for n in tied.values()),
        "pairs_sharing": sum(n for n in tied.values() if n > 1),
        "existing": len(existing),
        "weighted_ops": len(products),
        "weighted_ops_quantized": len(quantized),
    }


def by_rule(plan: Plan) -> dict[str, Counter[str]]:
    """Inputs that each rule decided, and groups that it tied, by rule id in order of decision."""
    rules: dict[str, Counter[str]] = {}
    for d in plan.decisions:
        counts = rules.setdefault(d.because.rule, Counter())
        counts["skipped" if d.descriptor is None else "quantized"] += 1
        for loser in d.overrides:
            rules.setdefault(loser.rule, Counter())["overridden"] += 1
    for index, group in enumerate(plan.groups):
        if sum(p.group == index for p in plan.pairs) > 1:
            for rule in dict.fromkeys(b.rule for b in group.because):
                rules.setdefault(rule, Counter())["shared"] += 1
    return rules
