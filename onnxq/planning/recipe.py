"""Load recipes, join them with the recipes that they extend, and compile them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onnxq import shipped, yaml_source
from onnxq.diagnostics import OnnxqError, error
from onnxq.planning.rule_compiler import Rule, compiled_rules, merged_descriptors
from onnxq.planning.rule_file import RecipeSpec, validated
from onnxq.yaml_source import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All rules of a recipe and of the recipes that it extends, those first. Later rules win.

    `digest` is the SHA-256 (hex) of the content: the same for a file and for a mapping, whatever
    the comments, the order of keys and the name. `files` are those that it was read from.
    """

    name: str
    digest: str
    rules: tuple[Rule, ...]
    files: tuple[Path, ...] = field(default=(), compare=False)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], name: str = "recipe") -> Recipe:
        """Make a recipe from the content of a rule file as Python values (docs/rules.md).

        `extends` names shipped recipes, or files relative to the working folder. Raises OnnxqError
        with the OQ1xx diagnostics that a file would have; their places are `name` and a path, such
        as `mine:rules[0].match.op`.
        """
        return _compiled(yaml_source.from_python(content, name), name, path=None, own=True)

    @classmethod
    def from_yaml(cls, text: str, name: str = "recipe") -> Recipe:
        """Make a recipe from the text of a rule file; else like `from_dict`, with lines."""
        return _compiled(yaml_source.parse(text, name), name, path=None, own=True)


def find(name: str, beside: Path) -> tuple[Path, str]:
    """Return the path of a recipe and the name to show: a file, else a shipped recipe (OQ101)."""
    return shipped.find(name, shipped.recipes(), what="recipe", code="OQ101", beside=beside)


def load(recipe: str | Path | Recipe) -> Recipe:
    """Load a recipe by path or by the name of a shipped one, with all recipes that it extends.

    A Recipe is returned as it is. Raises OnnxqError with every OQ1xx diagnostic of the first file
    that has any.
    """
    if isinstance(recipe, Recipe):
        return recipe
    path, shown = find(str(recipe), Path())
    document = yaml_source.read(path, shown_as=shown)
    own = path not in shipped.recipes().values()
    return _compiled(document, path.stem, path=path, own=own)


def _compiled(document: Document, name: str, *, path: Path | None, own: bool) -> Recipe:
    loaded = set[Path]()
    files = list(_with_extended(document, path, (), loaded))
    descriptors = merged_descriptors(files)
    rules = [
        rule
        for source, spec in files
        for rule in compiled_rules(source, spec, descriptors, own=own and source is document)
    ]
    return Recipe(
        name=name,
        digest=_digest(spec for _, spec in files),
        rules=tuple(rules),
        files=tuple(sorted(loaded)),
    )


def _digest(specs: Iterable[RecipeSpec]) -> str:
    contents = [s.model_dump(mode="json", by_alias=True, exclude_unset=True) for s in specs]
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def _with_extended(
    document: Document, path: Path | None, open_: tuple[Path, ...], loaded: set[Path]
) -> Iterator[tuple[Document, RecipeSpec]]:
    """Yield the files that a document extends, then itself; each file once.

    `path` is None for a recipe made in Python. `open_` are the files that extend this one.
    """
    spec = validated(document)
    here = open_ if path is None else (*open_, path.resolve())
    folder = Path() if path is None else path.parent
    names = [spec.extends] if isinstance(spec.extends, str) else spec.extends
    for index, name in enumerate(names):
        where = ("extends",) if isinstance(spec.extends, str) else ("extends", index)
        try:
            base, base_shown = find(name, folder)
        except OnnxqError as missing:
            (only,) = missing.diagnostics
            raise OnnxqError(replace(only, span=document.span(where))) from None
        if not _may_be_extended(base, path):
            raise error(
                "OQ101",
                f"'{name}' is no YAML file beside this recipe or below the working folder",
                fix="copy it there, with a name that ends in .yaml",
                span=document.span(where),
            )
        if base.resolve() in here:
            raise error(
                "OQ107",
                f"'{name}' extends itself: {' -> '.join(p.name for p in (*here, base))}",
                fix="remove one 'extends'",
                span=document.span(where),
            )
        if base.resolve() not in loaded:
            extended = yaml_source.read(base, shown_as=base_shown)
            yield from _with_extended(extended, base, here, loaded)
    if path is not None:
        loaded.add(path.resolve())
    yield document, spec


def _may_be_extended(base: Path, path: Path | None) -> bool:
    """False for files that a recipe from a stranger could pick to have them shown in an error."""
    if base in shipped.recipes().values():
        return True
    folders = [Path.cwd()]
    if path is not None:  # a link leads to where the recipe's own link leads
        folders += [path.parent.resolve(), path.resolve().parent]
    target = base.resolve()
    beside = any(target.is_relative_to(folder) for folder in folders)
    return beside and target.suffix in (".yaml", ".yml")
