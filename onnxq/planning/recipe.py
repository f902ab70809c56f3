"""Recipes: rule files found, joined with what they extend, and compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from onnxq import shipped, yaml_source
from onnxq.diagnostics import OnnxqError, error
from onnxq.planning.rule_compiler import Rule, compiled_rules, merged_descriptors
from onnxq.planning.rule_file import RecipeSpec, validated


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All rules of a file and of the files that it extends, those first. Later rules win."""

    name: str
    digest: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    spec: RecipeSpec
    source: yaml_source.Source
    text_digest: str


def find(name: str, beside: Path) -> tuple[Path, str]:
    """Return the path of a recipe and the name to show: a file, else a shipped recipe (OQ101)."""
    return shipped.find(name, shipped.recipes(), what="recipe", code="OQ101", beside=beside)


def load(name: str | Path | Recipe) -> Recipe:
    """Load a recipe by path or by the name of a shipped one, with all that it extends.

    Raises OnnxqError with every OQ1xx diagnostic of the first file that has any.
    """
    if isinstance(name, Recipe):
        return name
    path, shown = find(str(name), Path())
    files = list(_with_extended(path, shown, (), set()))
    descriptors = merged_descriptors((f.source, f.spec) for f in files)
    own = files[-1] if path not in shipped.recipes().values() else None
    rules = [
        rule for f in files for rule in compiled_rules(f.source, f.spec, descriptors, own=f is own)
    ]
    digest = hashlib.sha256("".join(f.text_digest for f in files).encode()).hexdigest()
    return Recipe(name=path.stem, digest=digest, rules=tuple(rules))


def _with_extended(
    path: Path, shown: str, open_: tuple[Path, ...], seen: set[Path]
) -> Iterator[_File]:
    """Yield the files that a file extends, then the file itself; each file once."""
    source = yaml_source.read(path, shown_as=shown)
    spec = validated(source)
    here = (*open_, path.resolve())
    names = [spec.extends] if isinstance(spec.extends, str) else spec.extends
    for index, name in enumerate(names):
        where = ("extends",) if isinstance(spec.extends, str) else ("extends", index)
        try:
            base, base_shown = find(name, path.parent)
        except OnnxqError as missing:
            (only,) = missing.diagnostics
            raise OnnxqError(replace(only, span=source.span(where))) from None
        if base.resolve() in here:
            raise error(
                "OQ107",
                f"'{name}' extends itself: {' -> '.join(p.name for p in (*here, base))}",
                fix="remove one 'extends'",
                span=source.span(where),
            )
        if base.resolve() not in seen:
            yield from _with_extended(base, base_shown, here, seen)
    seen.add(path.resolve())
    yield _File(spec=spec, source=source, text_digest=hashlib.sha256(path.read_bytes()).hexdigest())
