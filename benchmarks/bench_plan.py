"""Time of a plan against the time of reading the graph: 9,000 nodes, up to 160 rules.

Prints ratios of medians measured in one process; there are no thresholds.
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnxq.model.graph import Graph
from onnxq.model.preparing import name_nodes
from onnxq.planning import cascade, recipe

NODES = 9_000
RULES = ((1, 0), (8, 0), (8, 32), (40, 0), (40, 120))
RUNS = 5

KINDS = (
    'match: {op: Conv, attr: {group: 1}, shape: {weights: [_, "> 4", ...]}}',
    "match: {op: Conv, producer: {op: Mul}, consumer: {op: Sigmoid}}",
    'match: {op: Conv, after: {op: Add}, position: "0:5"}',
    'match: {op: Conv, name: "/block.*/conv"}',
    'match: {pattern: "Conv(Mul(a := Conv(x, ...), Sigmoid(a)), ...)"}',
    'match: {pattern: "Add(Mul(b := Conv(Mul(a := Conv(x, ...), _), ...), Sigmoid(b)), x)"}',
    'match: {op: Conv, any: [{name: "re:.*7/conv"}, {not: {before: {op: Concat}}}]}',
    "match: {op: Conv, between: [{op: Add, position: first}, {op: Add, position: last}]}",
)


def network(nodes: int) -> onnx.ModelProto:
    """Bottleneck blocks of seven nodes, one after the other."""
    weight = numpy_helper.from_array(np.ones((8, 8, 1, 1), np.float32), "w")
    made, last = [], "x"
    for block in range(nodes // 7):
        p, start = f"/block.{block}", last
        for half in ("a", "b"):
            made += [
                helper.make_node("Conv", [last, "w"], [f"{p}/{half}c"], f"{p}/{half}/conv"),
                helper.make_node("Sigmoid", [f"{p}/{half}c"], [f"{p}/{half}s"], f"{p}/{half}/sig"),
                helper.make_node(
                    "Mul", [f"{p}/{half}c", f"{p}/{half}s"], [f"{p}/{half}m"], f"{p}/{half}/mul"
                ),
            ]
            last = f"{p}/{half}m"
        made.append(helper.make_node("Add", [last, start], [f"{p}/y"], f"{p}/add"))
        last = f"{p}/y"
    shape = [1, 8, 4, 4]
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in ("x", last)]
    graph = helper.make_graph(made, "bench", values[:1], values[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def rules(broad: int, narrow: int) -> str:
    """A recipe of `broad` rules that match thousands of nodes and `narrow` ones for a few."""
    lines = ["schema: 1", "extends: trt-int8", "rules:"]
    for index in range(broad):
        kind = KINDS[index % len(KINDS)]
        lines.append(f"  - {{id: b{index}, why: bench, {kind}, quantize: {{inputs: act}}}}")
    for index in range(narrow):
        where = f'match: {{op: Conv, name: "/block.{index}/**"}}'
        lines.append(f"  - {{id: n{index}, why: bench, {where}, skip: all}}")
    return "\n".join(lines)


def median_seconds(work: Callable[[], object], before: Callable[[], None] = lambda: None) -> float:
    """Median processor time of several runs; what `before` does is not counted."""
    times = []
    for _ in range(RUNS):
        before()
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    model = name_nodes(network(NODES))
    reading = median_seconds(lambda: Graph(model))
    print(f"{len(model.graph.node)} nodes; reading the graph: {reading:.3f} s = 1.00")
    print(f"{'broad':>6} {'narrow':>6} {'load':>8} {'plan':>8} {'plan/reading':>13}")
    with tempfile.TemporaryDirectory() as folder:
        for broad, narrow in RULES:
            path = Path(folder) / f"{broad}-{narrow}.yaml"
            path.write_text(rules(broad, narrow))
            compiled = recipe.load(path)
            loading = median_seconds(lambda path=path: recipe.load(path))
            # A new graph each time: what a graph keeps for later plans belongs to the cost.
            fresh: list[Graph] = []

            def read(fresh: list[Graph] = fresh) -> None:
                fresh[:] = [Graph(model)]
                gc.collect()
                gc.freeze()  # as the command line does

            planning = median_seconds(lambda c=compiled, g=fresh: cascade.plan(g[0], c), read)
            told = f"{loading:>7.3f}s {planning:>7.3f}s {planning / reading:>13.2f}"
            print(f"{broad:>6} {narrow:>6} {told}")


if __name__ == "__main__":
    main()
