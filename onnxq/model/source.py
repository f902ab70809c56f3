"""A model as every stage sees it, from its file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from onnx import ModelProto

from onnxq.diagnostics import Diagnostic
from onnxq.model import io as models
from onnxq.model.inlining import inline_functions
from onnxq.model.strip import strip

Existing = Literal["refuse", "keep", "strip"]  # what becomes of pairs that a model has


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """The model at `path` as stages see it, its digest as such, and what reading it had to tell.

    `data` are the files of its external data.
    """

    path: Path
    existing: Existing
    data: tuple[Path, ...]
    model: ModelProto
    digest: str
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is read."""
        return (self.path, *self.data)

    def as_given(self) -> ModelProto:
        """The model of the file, stripped where that was asked for and else as it is."""
        given = models.load(self.path)
        return strip(given).model if self.existing == "strip" else given


def read(path: Path, existing: Existing = "refuse") -> Source:
    """Read a model (OQ301 to OQ307, OQ530, OQ561); without 'keep' or 'strip' pairs are OQ303."""
    proto = inline_functions(models.load(path), path)
    models.refuse_integer_ops(proto, path)
    if existing == "refuse":
        models.refuse_pairs(proto, path)
    model, told = prepared(proto, path, existing)
    return Source(
        path=path,
        existing=existing,
        data=tuple(models.external_files(path)),
        model=model,
        digest=digest(path, existing),
        diagnostics=told,
    )


def prepared(
    proto: ModelProto, path: str | Path, existing: Existing
) -> tuple[ModelProto, tuple[Diagnostic, ...]]:
    """A model with functions inlined, stripped if asked for, and what could not be taken back."""
    if existing != "strip":
        return models.prepare(proto, path), ()
    stripped = strip(proto)
    return models.prepare(stripped.model, path), stripped.diagnostics


def digest(path: Path, existing: Existing) -> str:
    """The digest of a model as a stage reads it: another one when its pairs are stripped."""
    of_file = models.digest(path)
    if existing != "strip":
        return of_file
    return hashlib.sha256(f"stripped {of_file}".encode()).hexdigest()
