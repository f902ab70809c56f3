"""Recipes and preprocessings: the shipped ones, and rule files that are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxq import shipped, yaml_source
from onnxq.feeds import preprocess as preprocessing
from onnxq.feeds.preprocess import Preprocess
from onnxq.planning import recipe, rule_file
from onnxq.planning.recipe import Recipe


def load_recipe(name: str | Path | Recipe) -> Recipe:
    """Read a rule file or a shipped recipe; OnnxqError has everything that is wrong with it."""
    return recipe.load(name)


def load_preprocess(name: str | Path) -> Preprocess:
    """Read a preprocessing: a YAML file or a shipped one (OQ406)."""
    return preprocessing.load(str(name))


def shipped_recipes() -> tuple[str, ...]:
    """Names of the shipped recipes."""
    return tuple(shipped.recipes())


def shipped_preprocessings() -> tuple[str, ...]:
    """Names of the shipped preprocessings."""
    return tuple(shipped.preprocessings())


def recipe_text(name: str | Path) -> str:
    """The text of a rule file or a shipped recipe, to begin a rule file with (OQ101)."""
    path, shown = recipe.find(str(name), Path())
    return yaml_source.read(path, shown_as=shown).text


def preprocess_text(name: str | Path) -> str:
    """The text of a preprocessing: a YAML file or a shipped one (OQ406)."""
    path, shown = preprocessing.find(str(name))
    return yaml_source.read(path, shown_as=shown).text


def rule_schema() -> dict[str, Any]:
    """The JSON schema of rule files, for completion in an editor."""
    return rule_file.json_schema()
