"""calibrate: samples run through the model, and statistics of its activations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnx import ModelProto, TensorProto

from onnxq.api import data as datasets
from onnxq.api import long_runs
from onnxq.api.data import PathOrPaths, Selection, Shapes
from onnxq.api.long_runs import LongRun
from onnxq.calibration import expectations, workers
from onnxq.calibration.calibrate import Settings, observed_tensors
from onnxq.calibration.calibrate import calibrate as run_samples
from onnxq.calibration.checkpoint import Checkpoint
from onnxq.calibration.half_ranges import with_ranges
from onnxq.calibration.statistics import Statistics
from onnxq.calibration.unobservable import require_any
from onnxq.descriptor import Calibrator
from onnxq.diagnostics import Diagnostic, error, require_choice
from onnxq.feeds import DataRequest, Feed
from onnxq.feeds.preprocess import Preprocess
from onnxq.formats import type_name
from onnxq.insertion.precision import HALF, FloatName
from onnxq.model import ops
from onnxq.model.loading import Existing, Model, load
from onnxq.outputs import require_writable
from onnxq.planning import cascade
from onnxq.planning import recipe as recipes
from onnxq.planning.plan import Decision, Plan
from onnxq.planning.recipe import Recipe
from onnxq.progress import OnProgress, Progress, silent
from onnxq.runnable import libraries


def calibrate(
    model: str | Path | ModelProto | Model,
    data: Any,
    *,
    recipe: str | Path | Recipe | None = None,
    preprocess: str | Path | Preprocess | None = None,
    shapes: Shapes | None = None,
    samples: int | None = None,
    seed: int | None = None,
    batch: int | None = None,
    ragged: bool = False,
    calibrator: Calibrator = "histogram",
    float_type: FloatName = "fp32",
    existing: Existing = "refuse",
    shard: str | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    workers: int | None = None,
    cluster: str | None = None,
    provider: str | None = None,
    max_memory: int | str | None = None,
    ort_library: PathOrPaths = (),
    output: str | Path | None = None,
    progress: OnProgress = silent,
) -> Statistics:
    """Run the model over samples and return statistics of its activations.

    `data` is a path (pictures, .npy, .npz, Polygraphy's saved inputs, FILE.py[:FUNCTION]), an array
    whose rows are samples, a mapping of such arrays by input, an iterable, a generator or a
    DataLoader of samples, or a function that makes one. A sample is an array or tensor, a tuple in
    the order of the inputs, or a dictionary by name. `samples` are spread evenly over the data or
    drawn by `seed`; `batch` runs so many at once; `ragged` lets them differ in shape.
    `preprocess` says how pictures become inputs: a shipped name, a YAML file or a Preprocess.
    `recipe` narrows what is observed to what that recipe quantizes. The calibrator "histogram"
    serves every method, "max" only `method: max`, and is faster. `float_type` "fp16" or "bf16", as
    for `insert`, also observes the range of every tensor that may exceed that type.
    `shard` "2/8" takes every eighth sample from the second on; such parts add with `+`.
    `checkpoint` is a file that gets the statistics so far, twice a minute and on interruption;
    `resume` continues from it. `workers` shares the samples out with Ray, on `cluster` if given.
    `provider` is an execution provider of onnxruntime, such as "cuda". `max_memory`, in bytes or as
    "2GB", bounds the activations that are looked at in one pass. `ort_library` is a library of
    custom ops for onnxruntime, or several; without it, tensors behind an op that onnxruntime does
    not know are `unobserved` in the result. `output` is the file to write.
    Raises OQ320 for such a library, OQ321 when nothing can be observed, OQ301 to OQ307, OQ4xx and
    what reading the recipe raises.
    """
    run = LongRun(
        shard=shard,
        checkpoint=checkpoint,
        resume=resume,
        workers=workers,
        cluster=cluster,
        provider=provider,
        max_memory=max_memory,
    )
    require_choice("float_type", float_type, FloatName)
    part = run.part
    settings = replace(run.settings(calibrator), libraries=libraries(ort_library))
    model = load(model, existing=existing, shapes=shapes)
    selection = Selection(samples=samples, seed=seed, batch=batch, ragged=ragged)
    request = datasets.request(data, preprocess, selection, model.shapes)
    path = None if output is None else Path(output)
    loaded = None if recipe is None else recipes.load(recipe)
    own = () if loaded is None else loaded.files
    require_calibration_places(path, run, (*model.files, *request.files, *own))
    plan = None if loaded is None else cascade.plan(model.graph, loaded)
    job = Gathering(
        model=model,
        tensors=observed(model, plan),
        plan=plan,
        request=request,
        preprocess=preprocess,
        settings=settings,
        float_type=float_type,
        run=run,
        part=part,
        output=path,
    )
    before = (*model.diagnostics, *(plan.diagnostics if plan else ()))
    statistics = job.run_with(progress)
    return replace(statistics, diagnostics=(*before, *statistics.diagnostics))


def require_calibration_places(
    output: Path | None, run: LongRun, inputs: Sequence[Path | None]
) -> None:
    """Check what a calibration writes (OQ501, OQ502)."""
    checkpoint = None if run.checkpoint is None else Path(run.checkpoint)
    require_writable({"the calibration": output, "the checkpoint": checkpoint}, inputs)


def _other_types(model: Model) -> list[str]:
    """The float types of weighted ops that cannot be quantized, such as bfloat16."""
    weighted = (n for n in model.graph.nodes if ops.traits(n).weighted)
    types = {
        model.graph.type(tensor).dtype for node in weighted for tensor in node.inputs if tensor
    }
    return sorted(type_name(t) for t in types & {TensorProto.BFLOAT16, TensorProto.DOUBLE})


def observable(model: Model) -> bool:
    """True when a recipe could quantize some activation."""
    return bool(observed_tensors(model.graph, None))


def observed(model: Model, *plans: Plan | None) -> tuple[str, ...]:
    """The activations to observe for plans; for None what any recipe could quantize (OQ306)."""
    tensors = dict.fromkeys(t for plan in plans for t in observed_tensors(model.graph, plan))
    if not tensors:
        types = _other_types(model)
        why = f": it computes in {' and '.join(types)}" if types else ""
        raise error(
            "OQ306",
            f"'{model.name}' has no float32 or float16 activation that could be quantized{why}",
            fix="give its FP32 or FP16 export"
            if types
            else "give a model with Conv, Gemm or MatMul that are not quantized yet",
        )
    return tuple(tensors)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gathering:
    """A calibration whose options are checked: it can begin."""

    model: Model
    tensors: Sequence[str]
    plan: Plan | None
    request: DataRequest
    preprocess: str | Path | Preprocess | None
    settings: Settings
    float_type: FloatName = "fp32"
    run: LongRun
    part: tuple[int, int] = (0, 1)
    output: Path | None = None

    def run_with(self, progress: OnProgress) -> Statistics:
        """Run it, and write the statistics where that was asked for."""
        feed = self.request.open(self.model.graph).part(*self.part)
        usual = self.request.otherwise_shapes
        for note in datasets.notes(feed, self.preprocess, usual=usual):
            progress(Progress(stage="calibrating", total=feed.length, note=note))
        steps = _Steps(progress, feed.length)
        with long_runs.kept(self.run, self._identity(), self.request, progress) as checkpoint:
            statistics = self._observe(feed, self.tensors, self.settings, steps, checkpoint)
            require_any(statistics)
            statistics = self._with_ranges(statistics, feed, steps)
            for note in expectations.seen(self.model.graph, statistics):
                progress(Progress(stage="calibrating", total=feed.length, note=note))
            doubts = self._doubts(feed, statistics)
            statistics = replace(statistics, diagnostics=(*statistics.diagnostics, *doubts))
            return statistics if self.output is None else statistics.save(self.output)

    def _doubts(self, feed: Feed, statistics: Statistics) -> Iterator[Diagnostic]:
        """Whether the inputs are what the model expects."""
        is_default = self.preprocess is None and self.request.otherwise is None
        return expectations.doubts(
            self.model.graph,
            statistics,
            {p.key: p.value for p in self.model.proto.metadata_props},
            default=is_default and feed.preprocess is not None,
            bgr=feed.preprocess is not None and feed.preprocess.color == "BGR",
        )

    def _observe(
        self,
        feed: Feed,
        tensors: Sequence[str],
        settings: Settings,
        steps: _Steps,
        checkpoint: Checkpoint | None = None,
    ) -> Statistics:
        """Run the samples here, or on workers."""
        if self.run.workers is not None:
            statistics = self._on_workers(self.run.workers, feed, tensors, settings, steps)
            return replace(statistics, model_path=self.model.path)
        return run_samples(
            self.model.proto,
            self.model.graph,
            feed,
            tensors=tensors,
            model_path=self.model.path,
            settings=settings,
            decisions=self.decisions,
            checkpoint=checkpoint,
            progress=steps,
        )

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The decisions of the recipe, if there is one."""
        return () if self.plan is None else self.plan.decisions

    def _with_ranges(self, statistics: Statistics, feed: Feed, steps: _Steps) -> Statistics:
        """Add ranges that a half-precision type needs, from a second pass over the samples."""
        if self.float_type == "fp32":
            return statistics
        settings = replace(self.settings, calibrator="max")
        return with_ranges(
            statistics,
            self.model.graph,
            HALF[self.float_type].largest,
            lambda tensors: self._observe(feed, tensors, settings, steps.again()),
        )

    def _identity(self) -> Mapping[str, str]:
        """What tells one run from another, beside the data."""
        return {
            "the model": self.model.digest[:16],
            "--existing": self.model.existing,
            "--shard": self.run.shard or "",
            "--calibrator": self.settings.calibrator,
            "--float": "" if self.float_type == "fp32" else self.float_type,
            "--provider": self.run.provider or "",
            "--max-memory": str(self.run.max_memory or ""),
            "--ort-library": " ".join(Path(p).name for p in self.settings.libraries),
        }

    def _on_workers(
        self,
        count: int,
        feed: Feed,
        tensors: Sequence[str],
        settings: Settings,
        steps: _Steps,
    ) -> Statistics:
        if self.model.path is None:
            raise error(
                "OQ434",
                "workers read the model from its file, and a ModelProto was given",
                fix="save it and give its path",
            )
        job = workers.Job(
            model=str(self.model.path.absolute()),
            existing=self.model.existing,
            data=self.request.absolute(),
            tensors=tuple(tensors),
            settings=settings,
            decisions=self.decisions,
        )
        return workers.calibrate_with(count, job, feed, address=self.run.cluster, progress=steps)


class _Steps:
    """Counts the samples of a stage for `progress`, over all passes."""

    def __init__(self, progress: OnProgress, total: int | None, passes: int = 0) -> None:
        self._progress, self._total, self._before = progress, total, passes
        self._done, self._all = 0, passes

    def __call__(self, done: int = 1, passes: int = 1) -> None:
        self._done += done
        self._all = passes + self._before
        total = self._total and self._total * self._all
        self._progress(Progress(stage="calibrating", done=self._done, total=total))

    def again(self) -> _Steps:
        """The steps of one more pass, which begins where this one ends."""
        more = _Steps(self._progress, self._total, self._all)
        more._done = self._done
        return more
