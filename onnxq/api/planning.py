"""plan: what a recipe decides for a model, saved, compared and filtered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from onnx import ModelProto

from onnxq.api.data import Shapes
from onnxq.diagnostics import OnnxqError, Severity, error
from onnxq.files import whole_file
from onnxq.model.graph import Graph
from onnxq.model.loading import Existing, Model, load
from onnxq.outputs import require_writable
from onnxq.planning import cascade, plan_file
from onnxq.planning import recipe as recipes
from onnxq.planning.plan import FLOAT, Line, Plan, undecided
from onnxq.planning.plan_changes import PlanChanges, changes
from onnxq.planning.recipe import Recipe
from onnxq.planning.selectors import InvalidMatchError
from onnxq.planning.selectors.basic import NamePattern, name_pattern
from onnxq.shown import renderer

RECIPE: Final = "trt-int8"  # where no recipe is given
PlanLike = str | Path | Recipe | Plan


def plan(
    model: str | Path | ModelProto | Model,
    recipe: str | Path | Recipe = RECIPE,
    *,
    shapes: Shapes | None = None,
    existing: Existing = "refuse",
    strict: bool = False,
    output: str | Path | None = None,
    html: str | Path | None = None,
) -> Plan:
    """Apply a recipe to a model; needs no data.

    `recipe` is the name of a shipped one, a rule file or a Recipe. With `strict` the warnings of
    the plan are raised as errors. `output` is a file for the plan as text, which `load_plan` reads;
    `html` is a page to write, with the network as a picture.
    Raises OQ1xx and OQ2xx for the recipe, and what `load` raises.
    """
    path, page = (None if p is None else Path(p) for p in (output, html))
    if page is not None:
        renderer().require_page()
    model = load(model, existing=existing, shapes=shapes)
    loaded = recipes.load(recipe)
    require_writable({"the plan": path, "--html": page}, (*model.files, *loaded.files))
    planned = cascade.plan(model.graph, loaded)
    require_no_warnings(planned, strict=strict)
    if path is not None:
        with whole_file(path) as part:
            part.write_text(plan_file.to_text(planned), encoding="utf-8")
    planned = replace(planned, diagnostics=(*model.diagnostics, *planned.diagnostics))
    if page is not None:
        text = planned.to_html(Path(model.name).name)
        with whole_file(page) as part:
            part.write_text(text, encoding="utf-8")
    return planned


def require_no_warnings(plan: Plan, *, strict: bool) -> None:
    """With `strict`, raise the warnings of a plan as errors."""
    if strict and plan.diagnostics:
        raise OnnxqError(*(replace(d, severity=Severity.ERROR) for d in plan.diagnostics))


def plan_for(model: Model, plan: PlanLike, *, strict: bool = False) -> Plan:
    """The plan that a recipe makes for a model, or a plan that fits it (OQ212)."""
    if not isinstance(plan, Plan):
        planned = cascade.plan(model.graph, recipes.load(plan))
        require_no_warnings(planned, strict=strict)
        return planned
    own = (d for d in plan.diagnostics if d not in model.diagnostics)
    require_no_warnings(replace(plan, diagnostics=tuple(own)), strict=strict)
    if plan.model_digest != model.digest:
        raise error(
            "OQ212",
            f"the plan was made for another model than '{model.name}'",
            fix="make it again for this one with 'onnxq plan'",
        )
    return plan


def plan_files(plan: PlanLike) -> tuple[Path, ...]:
    """The files of a plan, or of a recipe and of those that it extends: never to be overwritten."""
    return plan.files if isinstance(plan, Plan) else recipes.load(plan).files


def load_plan(
    path: str | Path,
    model: str | Path | ModelProto | Model,
    *,
    shapes: Shapes | None = None,
    existing: Existing = "refuse",
) -> Plan:
    """Read a saved plan, perhaps edited by hand, for the model that it was made for (OQ212)."""
    return plan_file.load(Path(path), load(model, existing=existing, shapes=shapes).graph)


def plan_changes(
    old: Plan | str | Path, new: Plan, *, only: str | None = None, floats: bool = False
) -> PlanChanges:
    """Decisions that differ between two plans; `old` may be a saved plan (OQ212).

    The rules alone do not count.
    `only` selects as in `plan_lines`. With `floats` only inputs that a rule leaves float count.
    """
    before = old.lines if isinstance(old, Plan) else plan_file.read(Path(old)).lines
    wanted = _wanted(new, only, floats=floats)
    return changes(filter(wanted, before), filter(wanted, new.lines), new.graph)


def plan_lines(plan: Plan, *, only: str | None = None, floats: bool = False) -> tuple[Line, ...]:
    """The decisions of a plan whose node or tensor fits the glob `only` as a whole.

    With `floats` they are the inputs that stay float, by a rule or because no rule decides them.
    Raises OQ104 for a glob that cannot be used, OQ214 for one that fits nothing in the model.
    """
    lines = (*plan.lines, *(undecided(plan) if floats else ()))
    return tuple(filter(_wanted(plan, only, floats=floats), lines))


def _wanted(plan: Plan, only: str | None, *, floats: bool) -> Callable[[Line], bool]:
    pattern = None if only is None else _pattern(plan.graph, only)

    def wanted(line: Line) -> bool:
        if floats and line.descriptor != FLOAT:
            return False
        return pattern is None or pattern.fits(line.node) or pattern.fits(line.tensor)

    return wanted


def _pattern(graph: Graph, only: str) -> NamePattern:
    try:
        pattern = name_pattern(only)
    except InvalidMatchError as reason:
        raise error("OQ104", f"--only is {reason}", fix=reason.fix) from None
    tensors = (tensor for node in graph.nodes for tensor in node.inputs)
    if not any(pattern.fits(name) for names in (graph.by_name, tensors) for name in names):
        fix = "globs fit whole names; '*' stops at '/', '**' does not"
        raise error("OQ214", f"no node and no tensor fits --only '{only}'", fix=fix)
    return pattern
