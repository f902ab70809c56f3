"""OQ619: every node has a name of its own, which layer reports need."""

from collections import Counter
from collections.abc import Iterator

import onnx

from onnxq.diagnostics import counted
from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import repair, rule
from onnxq.model.pairs import is_pair_op
from onnxq.model.preparing import name_nodes
from onnxq.model.scopes import nodes as every


@rule("OQ619")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find nodes without a name of their own."""
    nodes = [n for _, n in every(model.proto.graph) if n.op_type != "Constant"]
    uses = Counter(n.name for n in nodes)
    unnamed = uses.pop("", 0)
    if unnamed:
        yield _finding(Effect.COST, f"{counted(unnamed, 'node')} without a name")
    repeated = list(_repeated(nodes))
    twice = [n for n, count in uses.items() if count > 1 and n not in {r.name for r in repeated}]
    if twice:
        others = f" and {len(twice) - 1} other names" if len(twice) > 1 else ""
        yield _finding(Effect.COST, f"several nodes have the name '{twice[0]}'{others}")
    for node in repeated:
        text = f"{node.op_type} '{node.name}' has the name of a node before it"
        yield _finding(Effect.REJECTED, f"{text}, which TensorRT-RTX rejects", node.name)


def _repeated(nodes: list[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Q and DQ with the name of an earlier node: TensorRT-RTX renames only other nodes."""
    names: set[str] = set()
    for node in nodes:
        if node.name and node.name in names and is_pair_op(node):
            yield node
        names.add(node.name)


def _finding(effect: Effect, text: str, node: str = "") -> Finding:
    return finding("OQ619", effect, text, fix="give every node a name of its own", node=node)


@repair("OQ619")
def give_names(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Name nodes as `insert` does."""
    before = [n.name for _, n in every(edit.model.graph)]
    name_nodes(edit.model)
    for old, (_, node) in zip(before, every(edit.model.graph), strict=True):
        if node.name != old and node.op_type != "Constant" and node.output:
            text = f"the {node.op_type} of '{node.output[0]}' is named '{node.name}'"
            yield Repair(code="OQ619", node=node.name, text=text, exact=True)
