"""A model as every stage sees it: read once, prepared, with its digest and its graph."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from onnx import ModelProto

from onnxq.diagnostics import Diagnostic, counted, error, require_choice, warning
from onnxq.model import io as models
from onnxq.model import preparing
from onnxq.model.graph import Graph, declares
from onnxq.model.inlining import inline_functions
from onnxq.model.optimized import refuse_optimized
from onnxq.model.strip import strip

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs

Existing = Literal["refuse", "keep", "strip"]  # what happens to Q/DQ pairs that a model has


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Model:
    """A prepared model: local functions inlined, nodes named, opset 13 or newer.

    `proto` is the prepared model. `unprepared` is the model as it was given, where preparing
    inlined functions or raised the opset, else None. `path` and `data_files` are None and empty for
    a model that was given as a ModelProto. `digest` identifies the content of the files, and that
    its pairs were stripped. `shapes` are shapes of inputs with dynamic dimensions. Relative paths
    are from `folder`.
    """

    path: Path | None
    existing: Existing
    data_files: tuple[Path, ...]
    proto: ModelProto
    unprepared: ModelProto | None
    digest: str
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    folder: Path = field(default_factory=Path.cwd)
    load_diagnostics: tuple[Diagnostic, ...] = ()

    def __str__(self) -> str:
        types = ((name, self.graph.type(name)) for name in self.graph.inputs)
        inputs = ", ".join(
            f"{name} {'x'.join('?' if d is None else str(d) for d in kind.shape or ())}".rstrip()
            for name, kind in types
        )
        nodes = counted(len(self.graph.nodes), "node")
        return f"{self.name}: opset {preparing.opset(self.proto)}, {nodes}, inputs {inputs}"

    def __repr__(self) -> str:
        return f"<onnxq.Model {self}>"

    @property
    def name(self) -> str:
        """The path as it was given; 'the model' for a ModelProto."""
        return "the model" if self.path is None else str(self.path)

    @property
    def stem(self) -> str:
        """The file name without its last suffix; 'model' for a ModelProto."""
        return "model" if self.path is None else self.path.stem

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were read; they must not be overwritten."""
        paths = () if self.path is None else (self.path, *self.data_files)
        return tuple(self.folder / path for path in paths)

    @cached_property
    def graph(self) -> Graph:
        """The read-only view of the prepared model, with `shapes` for its inputs."""
        return Graph(self.proto, digest=self.digest, shapes=self.shapes)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What strip could not undo (OQ532, OQ533), and a failed shape inference (OQ308)."""
        problem = self.graph.shape_inference_problem
        if not problem:
            return self.load_diagnostics
        message = f"onnx cannot infer shapes in '{self.name}': {problem}"
        fix = "rules on shapes match less, and MACs may be unknown; correct the types in the export"
        return (*self.load_diagnostics, warning("OQ308", message, fix=fix))

    def with_shapes(self, shapes: Mapping[str, Sequence[int]]) -> Model:
        """The same model with shapes of inputs; itself where it has or declares them."""
        sizes = {name: tuple(shape) for name, shape in shapes.items()}
        if sizes == self.shapes or (not self.shapes and declares(self.proto, sizes)):
            return self
        return replace(self, shapes=sizes)


def load(
    model: str | Path | ModelProto | Model | gs.Graph,
    *,
    existing: Existing = "refuse",
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Model:
    """Read and prepare a model; every other function takes what this returns, or calls it.

    `model` is a path, or a ModelProto or a graph of onnx-graphsurgeon, which is not changed; a
    Model is returned as it is, with `shapes` if there are any. `existing` says what happens to Q/DQ
    pairs that the model has: "refuse" raises OQ303, "keep" plans around them, "strip" removes them.
    `shapes` gives sizes to inputs with dynamic dimensions. Raises OQ405 for wrong
    sizes, OQ217 for a Model with another `existing`, OQ301 to OQ307, OQ530 and OQ561.
    """
    require_choice("existing", existing, Existing)
    _require_sizes(shapes or {})
    if isinstance(model, Model):
        if existing not in ("refuse", model.existing):
            raise error(
                "OQ217",
                f"the model was loaded with existing='{model.existing}', not '{existing}'",
                fix=f"load it with onnxq.load(..., existing='{existing}')",
            )
        return model.with_shapes(shapes) if shapes else model
    file = _file(model)
    with_functions = _copy(file.proto) if file.proto.functions else None
    inlined = inline_functions(file.proto, file.name)
    preparing.refuse_integer_ops(inlined, file.name)
    refuse_optimized(inlined, file.name)
    if existing == "refuse":
        preparing.refuse_pairs(inlined, file.name)
    stripped = strip(inlined) if existing == "strip" else None
    original = inlined if stripped is None else stripped.model
    if with_functions is not None and existing == "strip":
        with_functions = strip(with_functions).model
    proto = preparing.prepare(original, file.name)
    return Model(
        path=file.path,
        existing=existing,
        data_files=file.data_files,
        proto=proto,
        unprepared=with_functions or (None if proto is original else original),
        digest=_digest(file.digest, existing),
        shapes={name: tuple(shape) for name, shape in (shapes or {}).items()},
        load_diagnostics=() if stripped is None else stripped.diagnostics,
    )


def _require_sizes(shapes: Mapping[str, Sequence[int]]) -> None:
    """Raise OQ405 for sizes that no input has."""
    for name, shape in shapes.items():
        if not all(isinstance(size, Integral) and size >= 0 for size in shape):
            raise error(
                "OQ405",
                f"the shape {tuple(shape)} of '{name}' is not of whole numbers from 0",
                fix="give one size for every dimension, such as (1, 3, 640, 640)",
            )


def _file(model: str | Path | ModelProto | gs.Graph) -> models.ModelFile:
    if isinstance(model, str | Path):
        return models.read(model)
    if not isinstance(model, ModelProto):
        if not type(model).__module__.startswith("onnx_graphsurgeon"):
            message = f"a {type(model).__name__} is not a model"
            raise error("OQ302", message, fix="give a path, a ModelProto or an onnxq.Model")
        from onnx_graphsurgeon import export_onnx  # the caller has it: the graph is one of its own

        return models.ModelFile(path=None, proto=export_onnx(model, do_type_check=False))
    return models.copied(model)


def _copy(model: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def _digest(of_file: str, existing: Existing) -> str:
    """The digest of a model as a stage reads it: another one when its pairs are stripped."""
    if existing != "strip":
        return of_file
    return hashlib.sha256(f"stripped {of_file}".encode()).hexdigest()
