"""The YAML files that come with onnxq: recipes, and preprocessings in a folder of their own."""

from __future__ import annotations

import os
from pathlib import Path

from onnxq.diagnostics import did_you_mean, error


def folder() -> Path:
    """Folder of the shipped recipes: inside the package when installed, beside it in a checkout."""
    installed = Path(__file__).parent / "rules"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "rules"


def recipes() -> dict[str, Path]:
    """Shipped recipes by name."""
    return {p.stem: p for p in sorted(folder().glob("*.yaml"))}


def preprocessings() -> dict[str, Path]:
    """Shipped preprocessings by name."""
    return {p.stem: p for p in sorted((folder() / "preprocess").glob("*.yaml"))}


def find(
    name: str, known: dict[str, Path], *, what: str, code: str, beside: Path
) -> tuple[Path, str]:
    """Return a file's path and the name to show for it: a file in `beside`, else a shipped one.

    Raises `code` when there is neither.
    """
    path = beside / name
    if os.path.isfile(path):
        return path, str(path)
    stem = name.removesuffix(".yaml").removesuffix(".yml")
    if (file := known.get(stem)) is not None:
        return file, str(Path("rules") / file.relative_to(folder()))
    otherwise = "check the path; 'onnxq rules list' has the names"
    if what == "recipe" and stem in preprocessings():
        otherwise = f"'{stem}' is a preprocessing: give it with --preprocess"
    raise error(
        code,
        f"there is no {what} '{name}', neither a file nor a shipped one",
        fix=did_you_mean(stem, known, otherwise=otherwise),
    )
