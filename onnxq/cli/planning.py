"""The plan of --rules or --plan."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

from onnxq.cli import options, shapes
from onnxq.diagnostics import error

if TYPE_CHECKING:
    from onnxq import Model, Plan, Recipe


def load(model: Path, shape: list[str] | None, existing: options.ExistingPairs) -> Model:
    """Read a model for planning alone."""
    import onnxq

    loaded = onnxq.load(model, existing=existing, shapes=shapes.fixed(shape))
    _ = loaded.graph
    gc.freeze()  # it lives to the end; scanning it again would take a third of the planning time
    return loaded


def recipe(rules: str | None, plan_path: Path | None) -> Recipe | None:
    """The recipe, read before anything else; None with a saved plan (OQ217)."""
    import onnxq

    if plan_path is None:
        return onnxq.load_recipe(rules or options.RECIPE)
    if rules is not None:
        raise error("OQ217", "--plan and --rules exclude each other", fix="give one of them")
    return None


def plan(model: Model, recipe: Recipe | None, plan_path: Path | None) -> Plan:
    """The plan of a recipe, or the saved plan."""
    import onnxq

    if recipe is None:
        assert plan_path is not None
        return onnxq.load_plan(plan_path, model)
    return onnxq.plan(model, recipe)
