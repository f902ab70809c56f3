"""The form of an improver, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import onnx

from onnxq.feeds.samples import Tensors
from onnxq.improvement.edits import Array, Edits
from onnxq.improvement.loss import Judge
from onnxq.improvement.subject import Subject

# Arguments: steps done, steps in all.
OnStep = Callable[[int, int], None]
State = Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """What an improver may look at and change.

    `targets` are the nodes that the plan lets it act on, in graph order. `fitting` are the samples
    to look at, as often as needed. `judge` compares a Q/DQ model with the original on them; the
    samples that decide whether the result is kept are others. `seed` makes random choices
    repeatable. `progress` is to be called at least every few seconds. An improver that takes
    minutes gives its state to `keep` now and then, and goes on from `state` where that is not
    empty, with the same result as without the interruption. `exact` is the model with those edits
    alone that leave the float outputs as they were: what the inner values of `subject.model` should
    be. The names are the same; None stands for `subject.model` itself.
    """

    subject: Subject
    targets: tuple[str, ...]
    fitting: Sequence[Tensors]
    judge: Judge
    seed: int = 0
    progress: OnStep = lambda done, total: None
    state: State = field(default_factory=dict)
    keep: Callable[[State], None] = lambda state: None
    exact: onnx.ModelProto | None = None

    @property
    def expected(self) -> onnx.ModelProto:
        """The float model whose inner values the Q/DQ model should have."""
        return self.subject.model if self.exact is None else self.exact


class Improver(Protocol):
    """One file each, with its row in `registry.IMPROVERS`."""

    def improve(self, work: Work) -> Edits:
        """Return edits that should make the Q/DQ model closer to the original; none is allowed."""
        ...
