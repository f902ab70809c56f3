"""OQ619: every node has a name of its own, so that layer reports can be read."""

from collections import Counter
from collections.abc import Iterator

from onnxq.lint.finding import Effect, Finding, finding
from onnxq.lint.qdq import QdqModel
from onnxq.lint.registry import rule


@rule("OQ619")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find nodes without a name of their own."""
    uses = Counter(n.name for n in model.proto.graph.node if n.op_type != "Constant")
    unnamed = uses.pop("", 0)
    twice = [name for name, count in uses.items() if count > 1]
    said = [f"{unnamed} nodes have no name"] if unnamed else []
    said += [f"{len(twice)} names belong to several nodes, such as '{twice[0]}'"] if twice else []
    if said:
        yield finding(
            "OQ619", Effect.COST, " and ".join(said), fix="give every node a name of its own"
        )
