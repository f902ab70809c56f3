"""explain: why a node, a tensor or a rule is as it is, or what a code means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from onnx import ModelProto

from onnxq.api.data import Shapes
from onnxq.api.planning import RECIPE
from onnxq.codes import CODES
from onnxq.codes.code import Code
from onnxq.diagnostics import Diagnostic, Severity, error
from onnxq.improvement.improvement import Improvement
from onnxq.improvement.steps import Step
from onnxq.model.graph import Graph
from onnxq.model.loading import Existing, Model, load
from onnxq.planning import cascade
from onnxq.planning import explain as explaining
from onnxq.planning import recipe as recipes
from onnxq.planning.explain import Explanation
from onnxq.planning.recipe import Recipe
from onnxq.shown import Shown

_CODE: Final = re.compile(r"OQ\d+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Explanations(Shown):
    """Why `target` is as it is; empty for a tensor that no node reads.

    `improved` is what an improvement did to the target, a step and its note each. `diagnostics` are
    the errors of the plan, which may be what needs explaining.
    """

    target: str
    explanations: tuple[Explanation, ...]
    improved: tuple[tuple[Step, str], ...] = ()
    diagnostics: tuple[Diagnostic, ...]

    def to_dict(self) -> dict[str, Any]:
        """Each explanation, and the diagnostics."""
        return {
            "explanations": [e.to_dict() for e in self.explanations],
            "improved": [
                {"improver": step.name, "gain_db": step.gain_db, "note": note}
                for step, note in self.improved
            ],
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CodeExplanation(Shown):
    """What a diagnostic code means."""

    code: str
    entry: Code
    diagnostics: tuple[Diagnostic, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The code, its meaning, an example and the fix."""
        return {"code": self.code, **asdict(self.entry)}


def explain(
    subject: str | Path | ModelProto | Model,
    target: str | None = None,
    recipe: str | Path | Recipe = RECIPE,
    *,
    improvement: Improvement | str | Path | None = None,
    shapes: Shapes | None = None,
    existing: Existing = "refuse",
) -> Explanations | CodeExplanation:
    """Explain a node, a tensor or a rule of a recipe on a model, or a code such as "OQ203".

    Needs no data. With an `improvement`, or its file, it also says what that did to the node or to
    the nodes around the tensor. Raises OQ214 for a code, node, tensor or rule that does not exist,
    and what `load` and reading the recipe raise; errors of the plan are among the diagnostics.
    """
    if target is None:
        return _code(subject)
    improved = Improvement.load(improvement) if isinstance(improvement, str | Path) else improvement
    model = load(subject, existing=existing, shapes=shapes)
    compiled = recipes.load(recipe)
    draft = cascade.draft(model.graph, compiled)  # its errors may be what needs explaining
    errors = (d for d in draft.diagnostics if d.severity is Severity.ERROR)
    return Explanations(
        target=target,
        explanations=explaining.explain(model.graph, compiled, draft, target),
        improved=() if improved is None else tuple(_improved(model.graph, improved, target)),
        diagnostics=(*model.diagnostics, *errors),
    )


def _improved(graph: Graph, improvement: Improvement, target: str) -> Iterator[tuple[Step, str]]:
    """What each improver did to a node, or to the producer and the readers of a tensor."""
    producer = graph.producer(target)
    around = (producer.name if producer else "", *(e.node for e in graph.consumers(target)))
    for step in improvement.steps:
        for node in dict.fromkeys((target, *around)):
            if node in step.notes:
                yield step, step.notes[node] if node == target else f"{node}: {step.notes[node]}"


def _code(subject: object) -> CodeExplanation:
    code = str(subject).upper() if isinstance(subject, str) else ""
    if not _CODE.fullmatch(code):
        raise error(
            "OQ214",
            "there is nothing to explain",
            fix="give a node, a tensor or a rule after the model, or a code alone",
        )
    if code not in CODES:
        raise error("OQ214", f"there is no code {code}", fix="docs/codes.md lists all codes")
    return CodeExplanation(code=code, entry=CODES[code])
