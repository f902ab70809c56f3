"""Ops that draw random numbers: both models draw the same ones, so that they can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import onnx
from onnx import helper

from onnxq.diagnostics import Diagnostic, warning
from onnxq.model.graph import Graph
from onnxq.model.influence import random_nodes
from onnxq.model.ops import RANDOM, type_of
from onnxq.model.scopes import nodes

SEED = "seed"


def with_equal_draws(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which the n-th node of a random op has the seed n, unless it has one.

    So nodes of two models with the same random ops draw the same numbers in onnxruntime, where
    otherwise each session draws its own. The model itself where it has no random op.
    """
    if not any(_draws(node) for _, node in nodes(model.graph)):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    counts: Counter[str] = Counter()
    for _, node in nodes(result.graph):
        if _draws(node):
            counts[node.op_type] += 1
            if all(a.name != SEED for a in node.attribute):
                value = counts[node.op_type]
                is_integer = node.op_type == "Dropout"
                node.attribute.append(
                    helper.make_attribute(SEED, value if is_integer else float(value))
                )
    return result


def _draws(node: onnx.NodeProto) -> bool:
    """True for a random op, and for a Dropout that may be in training mode."""
    if type_of(node) == "Dropout":
        return len(node.input) > 2 and bool(node.input[2])
    return type_of(node) in RANDOM


def random_outputs(graph: Graph) -> Iterator[Diagnostic]:
    """An OQ681 for each output that depends on random numbers."""
    for output in graph.outputs:
        drawn = random_nodes(graph, output)
        if drawn:
            others = f" and {len(drawn) - 1} others" if len(drawn) > 1 else ""
            yield warning(
                "OQ681",
                f"output '{output}' depends on random numbers of {drawn[0].op} "
                f"'{drawn[0].name}'{others}; both models were compared on the same draws, while "
                "every run of an engine has others",
                fix="judge the model by what it generates, or make the numbers an input of it",
            )
