"""The result of an insertion, and Q/DQ models as callers give them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from onnx import ModelProto

from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic
from onnxq.improvement.improvement import Improvement
from onnxq.insertion.half import FloatRest
from onnxq.insertion.preparation import Preparation
from onnxq.insertion.scales import Scales
from onnxq.model import io as models
from onnxq.model.io import ModelFile
from onnxq.model.loading import Model
from onnxq.outputs import require_writable
from onnxq.planning.coverage import by_rule, coverage
from onnxq.planning.plan import Plan
from onnxq.shown import Shown


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class InsertResult(Shown):
    """A Q/DQ model, and what made it.

    `plan` has the pairs that were inserted: those of the recipe, less those whose tensors the data
    never produced. `preparation` says what preparing the model changed, if anything;
    `half_preparation` what raising the opset for half precision changed. `float_rest` describes the
    ops without pairs where they are in half precision. `path` and
    `data_files` are its files, once it is saved.
    """

    proto: ModelProto
    model: Model
    plan: Plan
    scales: Scales
    statistics: Statistics | None
    improvement: Improvement | None = None
    preparation: Preparation | None
    float_rest: FloatRest | None = None
    half_preparation: Preparation | None = None
    diagnostics: tuple[Diagnostic, ...]
    path: Path | None = None
    data_files: tuple[Path, ...] = ()

    def save(self, path: str | Path) -> InsertResult:
        """Write the model whole or not at all, with external data if the float model has such.

        Raises OQ501 where it cannot be written and OQ502 over a file that it was made from.
        """
        path = Path(path)
        require_writable(model_outputs(path), self.inputs)
        files = models.save(self.proto, path, external=bool(self.model.data_files))
        return replace(self, path=path, data_files=files[1:])

    @property
    def inputs(self) -> tuple[Path | None, ...]:
        """Files that must not be overwritten."""
        calibration = self.statistics.path if self.statistics else None
        return (*self.model.files, *self.plan.files, calibration)

    @property
    def preparations(self) -> tuple[Preparation, ...]:
        """What changed beside the pairs, in the order of the steps."""
        return tuple(p for p in (self.preparation, self.half_preparation) if p is not None)

    def to_dict(self) -> dict[str, Any]:
        """Counts of pairs, decisions by rule, changes beside the pairs, and diagnostics."""
        statistics = self.statistics
        calibration = None if statistics is None else statistics.path
        half_preparation = self.half_preparation
        return {
            "output": None if self.path is None else str(self.path),
            "model": None if self.model.path is None else str(self.model.path),
            "calibration": None if calibration is None else str(calibration),
            "improvement": None if self.improvement is None else self.improvement.to_dict(),
            "calibrator": None if statistics is None else statistics.calibrator,
            **coverage(self.plan),
            "raised": None if self.preparation is None else self.preparation.to_dict(),
            "unmatched_rules": list(self.plan.unmatched),
            "rules": {rule: dict(counts) for rule, counts in by_rule(self.plan).items()},
            "float_rest": None if self.float_rest is None else asdict(self.float_rest),
            "raised_for_float": None if half_preparation is None else half_preparation.to_dict(),
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }


QdqLike = str | Path | ModelProto | Model | InsertResult


def file_of(qdq: QdqLike) -> ModelFile:
    """The parsed model, with its file if it has one (OQ301, OQ302)."""
    if isinstance(qdq, Model):
        path = None if qdq.existing == "strip" else qdq.path
        return ModelFile(path=path, proto=qdq.proto, data_files=qdq.data_files, folder=qdq.folder)
    if isinstance(qdq, InsertResult):
        return ModelFile(path=qdq.path, proto=qdq.proto, data_files=qdq.data_files)
    return models.copied(qdq) if isinstance(qdq, ModelProto) else models.read(qdq)


def inputs_of(qdq: QdqLike, file: ModelFile) -> tuple[Path | None, ...]:
    """Files that a model made from a Q/DQ model must not overwrite."""
    made_from = qdq.inputs if isinstance(qdq, InsertResult) else ()
    return (file.path, *file.data_files, *made_from)


def model_outputs(path: Path | None) -> dict[str, Path | None]:
    """The files of a model that is written to `path`, by what messages call them."""
    data = None if path is None or not path.name else models.data_path(path)
    return {"the output": path, "the data of the output": data}
