"""The models that verify checks: each parsed once, with a name, and with a file on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from onnx import ModelProto

from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic
from onnxq.linting import QdqModel
from onnxq.model import io as models
from onnxq.model.graph import Graph
from onnxq.model.io import ModelFile
from onnxq.model.metadata import metadata_of
from onnxq.model.pairs import DEQUANTIZE, is_pair_op
from onnxq.model.scopes import nodes


@dataclass(frozen=True, kw_only=True, eq=False)
class _OnDisk:
    """A model with a file: its own, or one that `path` writes to `folder`."""

    name: str
    file: ModelFile
    folder: Path

    @property
    def proto(self) -> ModelProto:
        """The model, unchanged from its file."""
        return self.file.proto

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the model and its external data."""
        return self.file.digest

    @cached_property
    def path(self) -> Path:
        """A file with the model."""
        if self.file.path is not None:
            return self.file.folder / self.file.path
        path = self.folder / "model.onnx"
        self.folder.mkdir(parents=True, exist_ok=True)
        models.save(self.file.proto, path)
        return path


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatSubject(_OnDisk):
    """The float model. `prepared` is the model as insertion sees it, with the same tensor names.

    If it could not be prepared, `problem` says why, and `prepared` only has names for all nodes.
    """

    prepared: ModelProto
    problem: Diagnostic | None = None

    @property
    def pairs(self) -> int:
        """How many pairs the model has already: 0, unless some were kept and others added."""
        return sum(is_pair_op(node, DEQUANTIZE) for _, node in nodes(self.proto.graph))

    @cached_property
    def graph(self) -> Graph:
        """The view of the prepared model."""
        return Graph(self.prepared, digest=self.digest)

    def graph_with(self, shapes: Mapping[str, Sequence[int]]) -> Graph:
        """The view with shapes of inputs, for a plan that was made so."""
        return self.graph.with_shapes(self.prepared, shapes)


@dataclass(frozen=True, kw_only=True, eq=False)
class QdqSubject(_OnDisk):
    """A Q/DQ model. `calibration` is the one that it was made from; None if unknown.

    `calibration_problem` says why a named calibration does not fit, else it is ''.
    """

    calibration: Statistics | None = None
    calibration_problem: str = ""

    @cached_property
    def model(self) -> QdqModel:
        """The view of the model that lint and the comparison share."""
        return QdqModel(self.proto)

    @cached_property
    def made_by(self) -> Mapping[str, str]:
        """The metadata that onnxq recorded in the model; empty for models of other tools."""
        return metadata_of(self.proto)
