"""verify: Q/DQ models linted, compared with their float model, and compiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnx import ModelProto

from onnxq.api import data as datasets
from onnxq.api.data import Selection
from onnxq.api.inserting import InsertResult
from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic, OnnxqError, error, warning
from onnxq.feeds.preprocess import Preprocess
from onnxq.files import whole_file
from onnxq.model import io as models
from onnxq.model.io import ModelFile
from onnxq.model.loading import Model
from onnxq.model.metadata import metadata_of
from onnxq.model.ops import is_integer_op, type_of
from onnxq.model.pairs import is_pair_op
from onnxq.model.scopes import nodes
from onnxq.outputs import require_writable
from onnxq.planning import recipe as recipes
from onnxq.planning.plan import Plan
from onnxq.planning.recipe import Recipe
from onnxq.progress import OnProgress, Progress, silent
from onnxq.verification import targets as compute_capabilities
from onnxq.verification import tensorrt
from onnxq.verification.data import UnusedSamples, matching_calibration
from onnxq.verification.labels import load as load_labels
from onnxq.verification.origins import Lineage, PlanSources
from onnxq.verification.profiles import Profile, fixed
from onnxq.verification.report import VerifyReport
from onnxq.verification.subjects import FloatSubject, QdqSubject
from onnxq.verification.tensorrt import TIMEOUT, CompileOptions
from onnxq.verification.thresholds import Limits, Thresholds, thresholds
from onnxq.verification.verifying import Backend, Checks
from onnxq.verification.verifying import verify as run_checks

QdqLike = str | Path | ModelProto | InsertResult
ProfileLike = Sequence[int] | Profile


def verify(
    model: str | Path | ModelProto | Model,
    qdq: QdqLike | Sequence[QdqLike],
    *,
    data: Any = None,
    preprocess: str | Path | Preprocess | None = None,
    samples: int | None = None,
    seed: int | None = None,
    batch: int | None = None,
    ragged: bool = False,
    shapes: Mapping[str, ProfileLike] | None = None,
    calibration: Statistics | str | Path | None = None,
    calibration_folders: Sequence[Path] = (),
    tensors: bool = False,
    labels: str | Path | None = None,
    min_sqnr: Limits | None = None,
    min_cosine: Limits | None = None,
    min_int8: float | None = None,
    min_quantized: float | None = None,
    backend: Backend = "auto",
    targets: Sequence[str] = (),
    timeout: float = TIMEOUT,
    cache: bool = True,
    fp32_engine: bool = False,
    recipes: Sequence[str | Path | Recipe] = (),
    plans: Sequence[str | Path] = (),
    html: str | Path | None = None,
    progress: OnProgress = silent,
) -> VerifyReport:
    """Check Q/DQ models: what TensorRT asks of them, their accuracy, and what it compiles.

    `qdq` is one Q/DQ model, by any tool, or several of one float model. `data` and the options
    beside it are those of `calibrate`; without data nothing is compared. Take other samples than
    for calibration: those that were used are left out where enough others are there. Which were
    used is known from `calibration`, else from the calibration beside a model or in
    `calibration_folders` that the model records; it also gives preprocessing and shapes.
    `shapes` gives sizes to dynamic inputs, as one shape or a Profile of least, usual and largest.
    `tensors` compares every pair and weighted op too; `labels`, a CSV file, gives top-1 and top-5.
    `min_sqnr` (dB) and `min_cosine` are limits for every output or by output, `min_int8` and
    `min_quantized` shares of multiplications from 0 to 1; `report.passed` says whether all hold.
    `backend` is the compiler: "auto" compiles where TensorRT-RTX is installed, "onnxruntime" does
    not compile. `targets` are GPUs such as "sm89"; `timeout` is in seconds; `cache` keeps builds.
    `fp32_engine` compiles the float model too. `html` is a file for the report as a page, which
    also shows the decisions of `recipes` and saved `plans`, if they made one of the models.
    Raises OQ301, OQ302, OQ4xx for the data, OQ601 for a backend that is not installed, OQ603 for
    models that do not belong together, OQ651 to OQ654, OQ664, OQ670 and OQ671.
    """
    given = [qdq] if isinstance(qdq, QdqLike) else list(qdq)
    page = None if html is None else Path(html)
    profiles = profiles_of(shapes)
    if labels is not None and data is None:
        raise error("OQ651", "--labels has no effect without --data", fix="give both")
    with _subjects(model, given, calibration, calibration_folders) as (float_model, subjects):
        checks = Checks(
            tensors=tensors,
            labels=None,
            backend=backend,
            compiling=compile_options(backend, profiles, targets, timeout, cache=cache),
            fp32_engine=fp32_engine,
        )
        outputs = [o.name for o in float_model.proto.graph.output]
        least = thresholds(
            outputs, sqnr=min_sqnr, cosine=min_cosine, int8=min_int8, quantized=min_quantized
        )
        if labels is not None:
            checks = replace(checks, labels=load_labels(labels))
        sources = _sources(page, recipes, plans)
        _require_page(page, float_model, subjects, (*recipes, *plans, labels))
        lineage = Lineage(float_model=float_model, qdq=tuple(subjects), sources=sources)
        selection = Selection(samples=samples, seed=seed, batch=batch, ragged=ragged)
        checking = Checking(lineage=lineage, checks=checks, thresholds=least, html=page)
        compared = None
        if data is not None:
            compared = _unused(lineage, data, preprocess, selection, profiles, progress)
        return checking.run(compared, progress)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checking:
    """A verification whose options are checked: it can begin."""

    lineage: Lineage
    checks: Checks
    thresholds: Thresholds
    html: Path | None = None

    def run(
        self, samples: UnusedSamples | None, progress: OnProgress, notes: Sequence[Diagnostic] = ()
    ) -> VerifyReport:
        """Make the report, and write the page; `notes` are what is known before."""
        length = None if samples is None else samples.length
        then = "linting" if self.checks.backend == "onnxruntime" else "compiling"
        progress(Progress(stage=then if samples is None else "comparing", total=length))

        def step(done: int) -> None:
            progress(Progress(stage="comparing", done=done, total=length))
            if done == length:
                progress(Progress(stage=then))

        lineage = self.lineage
        report = run_checks(
            lineage.float_model,
            lineage.qdq,
            samples,
            self.checks,
            shapes=_common_shapes(lineage.qdq) if samples is None else None,
            progress=step,
        )
        notes = (
            *notes,
            *(samples.feed.warnings if samples is not None else ()),
            *_other_calibrations(lineage.qdq),
            *self._stray_sources(),
        )
        report = replace(report, notes=notes, thresholds=self.thresholds, lineage=lineage)
        if self.html is not None:
            text = report.to_html()
            with whole_file(self.html) as part:
                part.write_text(text, encoding="utf-8")
        return report

    def _stray_sources(self) -> Iterator[Diagnostic]:
        """Warn of recipes and plans that made none of the models (OQ672)."""
        lineage = self.lineage
        if lineage.sources.are_named and not any(o.plan for o in lineage.origins):
            yield warning(
                "OQ672",
                "the models do not record that --rules or --plan made one of them",
                fix="give the recipe or the plan that made them, for the float model that you gave",
            )


def profiles_of(shapes: Mapping[str, ProfileLike] | None) -> dict[str, Profile]:
    """The profile of every input that has a shape."""
    return {n: s if isinstance(s, Profile) else fixed(s) for n, s in (shapes or {}).items()}


def compile_options(
    backend: Backend,
    profiles: Mapping[str, Profile],
    targets: Sequence[str],
    timeout: float,
    *,
    cache: bool,
) -> CompileOptions:
    """How to compile (OQ664), once the backend is known to be installed (OQ601)."""
    tensorrt.require_backend(backend)
    if targets:
        tensorrt.require()
    return CompileOptions(
        profiles=profiles,
        targets=compute_capabilities.parse(targets) if targets else (),
        timeout=timeout,
        cache=cache,
    )


def _sources(
    page: Path | None, rules: Sequence[str | Path | Recipe], plans: Sequence[str | Path]
) -> PlanSources:
    """What may have made the models (OQ671 without a page to show it)."""
    if page is None and (rules or plans):
        raise error(
            "OQ671",
            "--rules and --plan tell the page what decided, and there is no --html",
            fix="give --html report.html too, or leave them out",
        )
    return PlanSources(
        recipes=tuple(recipes.load(r) for r in rules), plans=tuple(Path(p) for p in plans)
    )


def require_page(page: Path | None) -> None:
    """Make sure that a page can be drawn (OQ670)."""
    if page is not None:
        from onnxq.shown import renderer

        renderer().require_page()


def _require_page(
    page: Path | None,
    float_model: FloatSubject,
    subjects: Sequence[QdqSubject],
    others: Sequence[Any],
) -> None:
    """Make sure that a page can be drawn and written (OQ501, OQ502, OQ670)."""
    require_page(page)
    paths = [Path(o) for o in others if isinstance(o, str | Path)]
    inputs = [f for s in (float_model, *subjects) for f in (s.file.path, *s.file.data_files)]
    require_writable({"--html": page}, (*inputs, *paths))


@contextmanager
def _subjects(
    model: str | Path | ModelProto | Model,
    qdq: Sequence[QdqLike],
    calibration: Statistics | str | Path | None,
    folders: Sequence[Path],
) -> Iterator[tuple[FloatSubject, list[QdqSubject]]]:
    """Read the models, each once; models without a file get one, for as long as it is needed."""
    if isinstance(calibration, str | Path):
        calibration = Statistics.load(calibration)
    with TemporaryDirectory(prefix="onnxq-") as folder:
        files = [_file(one) for one in qdq]
        float_model = float_subject(model, Path(folder) / "float", files)
        subjects = [
            qdq_subject(one, file, Path(folder) / str(index), float_model, calibration, folders)
            for index, (one, file) in enumerate(zip(qdq, files, strict=True))
        ]
        yield float_model, _numbered(subjects)


def _numbered(subjects: list[QdqSubject]) -> list[QdqSubject]:
    """Tell several models without a file apart by their place among all."""
    if len([s for s in subjects if s.file.path is None]) < 2:
        return subjects
    return [
        replace(subject, name=f"model {number}") if subject.file.path is None else subject
        for number, subject in enumerate(subjects, start=1)
    ]


def _file(qdq: QdqLike) -> ModelFile:
    if isinstance(qdq, InsertResult):
        return ModelFile(path=qdq.path, proto=qdq.proto, data_files=qdq.data_files)
    return models.copied(qdq) if isinstance(qdq, ModelProto) else models.read(qdq)


def float_subject(
    model: str | Path | ModelProto | Model, folder: Path, others: Sequence[ModelFile]
) -> FloatSubject:
    """The model to compare with: float, or with fewer pairs than every other (OQ603)."""
    if isinstance(model, Model):
        path = None if model.existing == "strip" else model.path
        file = ModelFile(path=path, proto=model.proto, data_files=model.data_files)
        return FloatSubject(name=model.name, file=file, folder=folder, prepared=model.proto)
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
        prepared = models.prepare(file.proto)
    except OnnxqError as failed:
        models.name_nodes(prepared)  # onnxruntime refuses nodes that share a name
        problem = failed.diagnostics[0]
    return FloatSubject(
        name=file.name, file=file, folder=folder, prepared=prepared, problem=problem
    )


def _pair_count(file: ModelFile) -> int:
    return sum(is_pair_op(node) for _, node in nodes(file.proto.graph))


def qdq_subject(
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


def _other_calibrations(subjects: Sequence[QdqSubject]) -> Iterator[Diagnostic]:
    """Warn of a calibration that was given and did not make a model (OQ673)."""
    for subject in subjects:
        if subject.calibration_problem:
            yield warning(
                "OQ673",
                f"'{subject.name}': {subject.calibration_problem}",
                fix="give the calibration that made it; which samples it used is not known now",
            )


def _unused(
    lineage: Lineage,
    data: Any,
    preprocess: str | Path | Preprocess | None,
    selection: Selection,
    profiles: Mapping[str, Profile],
    progress: OnProgress,
) -> UnusedSamples:
    """The samples to compare on, opened as for the calibration where nothing else is said."""
    sizes = {name: profile.opt for name, profile in profiles.items()}
    recorded = "" if preprocess is not None else _recorded_preprocess(lineage.qdq)
    request = datasets.request(
        data,
        preprocess,
        selection,
        sizes,
        recorded=recorded,
        calibrated_shapes=_common_shapes(lineage.qdq),
    )
    feed = request.open(lineage.float_model.graph_with(sizes))
    as_calibrated = request.otherwise is not None
    for note in datasets.notes(feed, preprocess, as_calibrated=as_calibrated):
        progress(Progress(stage="comparing", total=feed.length, note=note))
    return UnusedSamples(feed, [subject.calibration for subject in lineage.qdq])


def _recorded_preprocess(subjects: Sequence[QdqSubject]) -> str:
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


def _common_shapes(subjects: Sequence[QdqSubject]) -> dict[str, tuple[int, ...]]:
    """The input shapes that all known calibrations have in common."""
    calibrations = [s.calibration for s in subjects if s.calibration is not None]
    first, *others = [dict(c.input_shapes) for c in calibrations] or [{}]
    return {n: s for n, s in first.items() if all(other.get(n) == s for other in others)}


def lineage_of(float_model: Model, result: InsertResult, folder: Path) -> Lineage:
    """The lineage of a Q/DQ model that was made just now."""
    subject = FloatSubject(
        name=float_model.name,
        file=ModelFile(
            path=None if float_model.existing == "strip" else float_model.path,
            proto=float_model.proto,
            data_files=float_model.data_files,
        ),
        folder=folder / "float",
        prepared=float_model.proto,
    )
    qdq = QdqSubject(
        name="the Q/DQ model" if result.path is None else str(result.path),
        file=ModelFile(path=result.path, proto=result.proto, data_files=result.data_files),
        folder=folder / "qdq",
        calibration=result.statistics,
    )
    plan: Plan = result.plan
    return Lineage(float_model=subject, qdq=(qdq,), sources=PlanSources(plan=plan))
