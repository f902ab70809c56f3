"""The models of a verification: each read once, with the calibration that made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from onnx import ModelProto

from onnxq.api.inserted import InsertResult, QdqLike, file_of
from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic, OnnxqError, error, warning
from onnxq.model import io as models
from onnxq.model import preparing
from onnxq.model.io import ModelFile
from onnxq.model.loading import Model
from onnxq.model.metadata import metadata_of
from onnxq.model.ops import is_integer_op, type_of
from onnxq.model.pairs import is_pair_op
from onnxq.model.scopes import nodes
from onnxq.verification.data import matching_calibration
from onnxq.verification.origins import Lineage, PlanSources
from onnxq.verification.subjects import FloatSubject, QdqSubject


@contextmanager
def lineage_from(
    model: str | Path | ModelProto | Model,
    qdq: Sequence[QdqLike],
    calibration: Statistics | str | Path | None,
    folders: Sequence[Path],
    sources: PlanSources,
) -> Iterator[Lineage]:
    """Read the models, each once; those without a file get one for as long as it is needed.

    `calibration` made the Q/DQ models; without it the one that each records is looked up beside it
    and in `folders`. Raises OQ301, OQ302, OQ603, and OQ410 and OQ412 for the calibration.
    """
    if isinstance(calibration, str | Path):
        calibration = Statistics.load(calibration)
    with TemporaryDirectory(prefix="onnxq-") as folder:
        files = [file_of(one) for one in qdq]
        float_model = _float_subject(model, Path(folder) / "float", files)
        subjects = [
            _qdq_subject(one, file, Path(folder) / str(index), float_model, calibration, folders)
            for index, (one, file) in enumerate(zip(qdq, files, strict=True))
        ]
        yield Lineage(float_model=float_model, qdq=_numbered(subjects), sources=sources)


def _numbered(subjects: Sequence[QdqSubject]) -> tuple[QdqSubject, ...]:
    """Tell several models without a file apart by their position."""
    if sum(s.file.path is None for s in subjects) < 2:
        return tuple(subjects)
    return tuple(
        replace(subject, name=f"model {number}") if subject.file.path is None else subject
        for number, subject in enumerate(subjects, start=1)
    )


def _float_subject(
    model: str | Path | ModelProto | Model, folder: Path, others: Sequence[ModelFile]
) -> FloatSubject:
    """The model to compare with: float, or with fewer pairs than every other (OQ603)."""
    if isinstance(model, Model):
        return FloatSubject(
            name=model.name, file=file_of(model), folder=folder, prepared=model.proto
        )
    file = models.copied(model) if isinstance(model, ModelProto) else models.read(model)
    pairs = _pair_count(file)
    is_integer = any(is_integer_op(type_of(n)) for _, n in nodes(file.proto.graph))
    if is_integer or (pairs and any(pairs >= _pair_count(other) for other in others)):
        raise error(
            "OQ603",
            f"the first model, '{file.name}', is quantized",
            fix="give the float model first and the Q/DQ model second",
        )
    prepared, problem = file.proto, None
    try:
        prepared = preparing.prepare(file.proto)
    except OnnxqError as failed:
        preparing.name_nodes(prepared)  # onnxruntime refuses nodes that share a name
        problem = failed.diagnostics[0]
    return FloatSubject(
        name=file.name, file=file, folder=folder, prepared=prepared, problem=problem
    )


def _pair_count(file: ModelFile) -> int:
    return sum(is_pair_op(node) for _, node in nodes(file.proto.graph))


def _qdq_subject(
    qdq: QdqLike,
    file: ModelFile,
    folder: Path,
    float_model: FloatSubject,
    calibration: Statistics | None,
    folders: Sequence[Path],
) -> QdqSubject:
    """A Q/DQ model with the calibration that made it, if that is known."""
    recorded = metadata_of(file.proto).get("statistics", "")
    problem = ""
    if calibration is not None:
        problem = _why_other(calibration, recorded, float_model)
    elif isinstance(qdq, InsertResult):
        calibration = qdq.statistics
    else:
        beside = () if file.path is None else (file.path.parent,)
        calibration = matching_calibration(recorded, (*beside, *folders))
    return QdqSubject(
        name=file.name if file.path is not None else "the Q/DQ model",
        file=file,
        folder=folder,
        calibration=None if problem else calibration,
        calibration_problem=problem,
    )


def _why_other(calibration: Statistics, recorded: str, float_model: FloatSubject) -> str:
    """Why a calibration did not make a Q/DQ model; '' when it did, or may have."""
    if recorded and calibration.digest != recorded:
        return "the given calibration did not make the model, which records another one"
    if not recorded and calibration.model_digest != float_model.digest:
        return "the given calibration was made from another model"
    return ""


def other_calibrations(subjects: Sequence[QdqSubject]) -> Iterator[Diagnostic]:
    """Warn of a calibration that was given and did not make a model (OQ673)."""
    for subject in subjects:
        if subject.calibration_problem:
            yield warning(
                "OQ673",
                f"'{subject.name}': {subject.calibration_problem}",
                fix="give the calibration that made it; which samples it used is not known now",
            )


def recorded_preprocess(subjects: Sequence[QdqSubject]) -> str:
    """How pictures were preprocessed for the calibrations, as JSON (OQ650 when they differ)."""
    recorded = {s.name: text for s in subjects if (text := s.made_by.get("preprocess", ""))}
    if len(set(recorded.values())) > 1:
        first = next(iter(recorded))
        second = next(name for name, text in recorded.items() if text != recorded[first])
        raise error(
            "OQ650",
            f"'{first}' and '{second}' were calibrated with different preprocessing",
            fix="say with --preprocess how pictures become inputs",
        )
    return next(iter(recorded.values()), "")


def common_shapes(subjects: Sequence[QdqSubject]) -> dict[str, tuple[int, ...]]:
    """The input shapes that all known calibrations have in common."""
    calibrations = [s.calibration for s in subjects if s.calibration is not None]
    first, *others = [dict(c.input_shapes) for c in calibrations] or [{}]
    return {n: s for n, s in first.items() if all(other.get(n) == s for other in others)}


def lineage_of(float_model: Model, result: InsertResult, folder: Path) -> Lineage:
    """The lineage of a Q/DQ model that was made just now."""
    subject = _float_subject(float_model, folder / "float", ())
    qdq = QdqSubject(
        name="the Q/DQ model" if result.path is None else str(result.path),
        file=file_of(result),
        folder=folder / "qdq",
        calibration=result.statistics,
    )
    return Lineage(float_model=subject, qdq=(qdq,), sources=PlanSources(plan=result.plan))
