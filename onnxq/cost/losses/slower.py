"""OQ697: ops that cost more than in the FP16 engine, where nothing else says why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from onnxq.cost.losses.loss import Loss, loss
from onnxq.cost.losses.registry import search
from onnxq.cost.losses.view import EngineView, shortened
from onnxq.cost.steps import Step

_MUCH: Final = 1.05  # times the FP16 engine's


@search("OQ697")
def slower(view: EngineView) -> Iterator[Loss]:
    """Compare the two engines by the nodes that both compute, without what only converts."""
    if view.fp16 is None:
        return
    pairs = {node.name for node in view.model.pair_nodes}
    one, other = (
        [step for step in cost.steps if not step.converts] for cost in (view.cost, view.fp16)
    )
    for here, there in _regions(one, other, pairs):
        seconds, fp16 = (sum(step.seconds for step in side) for side in (here, there))
        if not there or seconds <= _MUCH * fp16:
            continue
        nodes = list(dict.fromkeys(n for step in here for n in step.nodes if n not in pairs))
        ops = list(view.ops(nodes))
        if ops:
            yield loss(
                "OQ697",
                f"{shortened(ops)}: at least {1e6 * seconds:.3g} us, in FP16 {1e6 * fp16:.3g} us",
                fix="leave these ops in half precision (skip, with --float fp16)",
                kernels=[kernel.name for step in here for kernel in step.kernels],
                nodes=nodes,
                moved=sum(step.bytes for step in here),
            )


def _regions(
    one: Sequence[Step], other: Sequence[Step], ignored: set[str]
) -> Iterator[tuple[list[Step], list[Step]]]:
    """The least groups of steps of two engines that compute the same nodes."""
    steps = [*one, *other]
    group = list(range(len(steps)))
    first: dict[str, int] = {}
    for index, step in enumerate(steps):
        for node in step.nodes:
            if node not in ignored:
                a, b = group[first.setdefault(node, index)], group[index]
                group = [a if g == b else g for g in group] if a != b else group
    for number in dict.fromkeys(group):
        members = [index for index, g in enumerate(group) if g == number]
        yield (
            [steps[i] for i in members if i < len(one)],
            [steps[i] for i in members if i >= len(one)],
        )
