"""Model x data -> Statistics: onnxruntime runs the model, the observed values are counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from onnxq.calibration.checkpoint import Checkpoint, Snapshot
from onnxq.calibration.counting import Counting, kernel_diagnostics
from onnxq.calibration.exposing import Exposing, expose
from onnxq.calibration.observation import in_passes, observe
from onnxq.calibration.statistics import (
    Statistics,
    TensorStatistics,
    add_digests,
    largest_shapes,
    short_digests,
)
from onnxq.calibration.unobservable import unobservable
from onnxq.descriptor import Calibrator
from onnxq.diagnostics import Diagnostic, OnnxqError, error
from onnxq.feeds import Feed
from onnxq.feeds.samples import Sample
from onnxq.interrupts import held
from onnxq.model import node_inputs
from onnxq.model.existing import is_quantized
from onnxq.model.graph import Graph
from onnxq.model.observed import observable
from onnxq.planning.plan import Decision, Plan
from onnxq.runnable import runnable
from onnxq.sessions import CPU, Libraries, sizes

# Arguments: samples done since the last call (first those of a resumed run); number of passes.
Progress = Callable[[int, int], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a calibration runs.

    `providers` are onnxruntime's, first choice first. Tensors that together take more than
    `max_memory` bytes are observed in several passes over the data. `threads` is the number of
    computing threads, by default one per core. `libraries` have custom ops for onnxruntime.
    """

    calibrator: Calibrator = "histogram"
    providers: tuple[str, ...] = (CPU,)
    max_memory: int | None = None
    threads: int | None = None
    libraries: Libraries = ()


def observed_tensors(graph: Graph, plan: Plan | None = None) -> tuple[str, ...]:
    """Activations to observe: those that a plan quantizes, else all that could be."""
    if plan is None:
        return tuple(t for t in observable(graph) if not is_quantized(graph, t))
    return tuple(dict.fromkeys(p.tensor for p in plan.pairs if p.kind == "activation"))


def calibrate(
    model: onnx.ModelProto,
    graph: Graph,
    feed: Feed,
    *,
    tensors: Iterable[str],
    model_path: Path | None = None,
    settings: Settings | None = None,
    decisions: Sequence[Decision] = (),
    checkpoint: Checkpoint | None = None,
    progress: Progress = lambda done, passes: None,
) -> Statistics:
    """Run the model over the feed and return the statistics of `tensors`.

    Tensors that are not float are left out, or refused before the run when one of the `decisions`
    of a plan quantizes them (OQ213). Memory does not grow with the number of samples. A
    `checkpoint` is written twice a minute and when the run breaks off; the next run continues
    there, with the same result to the bit and the same diagnostics. `model_path` is recorded.
    Tensors behind an op that onnxruntime cannot run are `unobserved` in the result, with OQ321. The
    result has the diagnostics on the data, and OQ445. Raises OQ305 when onnxruntime cannot load or
    run the model, OQ421 when an iterator would be read twice, OQ432 when a later pass over the feed
    gives other data, and the errors of feeds and checkpoints.
    """
    settings = settings or Settings()
    tensors = tuple(t for t in tensors if node_inputs.may_be_observed(graph, t))
    part = runnable(model, settings.libraries)
    lost = {} if part is None else {t: part.behind[t] for t in tensors if t in part.behind}
    unobserved = {tensor: str(culprit) for tensor, culprit in lost.items()}
    model = model if part is None else part.model
    observation = observe(graph, (t for t in tensors if t not in lost))
    passes: tuple[tuple[str, ...], ...] = (observation.exposed,)
    if settings.max_memory is not None:
        sample = feed.first()
        taken = {}
        if sample is not None:
            taken = sizes(model, observation.exposed, sample, settings.libraries)
        passes = in_passes(observation.exposed, taken, settings.max_memory if sample else None)
    if len(passes) > 1:
        feed.source.require_again()
    gathered = checkpoint.begin(passes) if checkpoint else Snapshot()
    progress(sum(part.samples for part in gathered.parts), len(passes))
    nothing = Statistics(
        model_digest=graph.digest,
        calibrator=settings.calibrator,
        preprocess="" if feed.preprocess is None else feed.preprocess.model_dump_json(),
        data=feed.unreal,
    )
    diagnostics: dict[Diagnostic, None] = {}
    for number in range(max(0, len(gathered.parts) - 1), len(passes)):
        if number == len(gathered.parts):
            gathered = Snapshot(parts=(*gathered.parts, nothing))
        walk = _walk(model, graph, passes[number], settings, decisions)
        diagnostics |= dict.fromkeys(walk.exposing.diagnostics)
        gathered = walk.through(
            feed,
            gathered,
            keep=_Keeping(checkpoint, passes),
            progress=lambda done: progress(done, len(passes)),
        )
    whole = side_by_side(gathered.parts)
    return replace(
        whole,
        model_path=model_path,
        tensors=observation.complete(whole.tensors, whole.samples),
        unobserved=unobserved,
        diagnostics=(
            *feed.warnings,
            *unobservable(lost),
            *diagnostics,
            *kernel_diagnostics(settings.calibrator),
        ),
    )


def _walk(
    model: onnx.ModelProto,
    graph: Graph,
    tensors: Sequence[str],
    settings: Settings,
    decisions: Sequence[Decision],
) -> _Walk:
    """Open a session that gives out those of the tensors that are float."""
    inner = [name for name in tensors if name not in graph.inputs]
    exposing = expose(
        model,
        inner,
        providers=settings.providers,
        threads=settings.threads,
        libraries=settings.libraries,
    )
    floats = exposing.floats()
    _require_floats(decisions, set(tensors) - floats)
    return _Walk(
        exposing=exposing,
        tensors=[name for name in tensors if name in floats],
        settings=settings,
    )


def _require_floats(decisions: Sequence[Decision], others: Collection[str]) -> None:
    diagnostics = [
        Diagnostic(
            code="OQ213",
            message=f"rule '{d.because.rule}': '{d.tensor}' of '{d.edge.node}' is not float",
            fix="name only ports that hold float32 or float16 data",
            span=d.because.span,
        )
        for d in decisions
        if d.kind == "activation" and d.descriptor and d.tensor in others
    ]
    if diagnostics:
        raise OnnxqError(*diagnostics)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """One pass over the feed, for some of the tensors."""

    exposing: Exposing
    tensors: list[str]
    settings: Settings

    def through(
        self,
        feed: Feed,
        begun: Snapshot,
        *,
        keep: _Keeping,
        progress: Callable[[int], Any],
    ) -> Snapshot:
        """Continue from a snapshot to the end of the feed, with checkpoints in between."""
        with Counting(self.tensors, self.settings.calibrator, self.settings.threads) as counting:
            tally = _Tally(begun, counting, feed)
            try:
                for sample in feed.after(begun.done):
                    values = self.exposing.run(sample, self.tensors)
                    with held():
                        tally.take(sample, values)
                    del values  # before the next run allocates as much again
                    progress(sample.count)
                    if keep.due():
                        keep.keep(tally.snapshot())
            except BaseException:
                if tally.whole and tally.has_news:
                    keep.keep(tally.snapshot())
                raise
            return tally.snapshot()


class _Keeping:
    """Writes the checkpoint of a run, if it has one, and says when that is due."""

    def __init__(self, checkpoint: Checkpoint | None, passes: Sequence[Sequence[str]]) -> None:
        self._checkpoint, self._passes = checkpoint, passes
        self._kept = time.monotonic()

    def due(self) -> bool:
        checkpoint = self._checkpoint
        return checkpoint is not None and time.monotonic() - self._kept >= checkpoint.every

    def keep(self, snapshot: Snapshot) -> None:
        if self._checkpoint is not None:
            self._checkpoint.keep(snapshot, self._passes)
            self._kept = time.monotonic()


class _Tally:
    """The counts of a walk since a snapshot; `whole` except while a sample is being counted."""

    def __init__(self, begun: Snapshot, counting: Counting, feed: Feed) -> None:
        self._begun, self._counting, self._feed = begun, counting, feed
        self._last, self._findings = begun.last, begun.findings
        self._samples = 0
        self._digests: list[str] = []
        self._parts: list[str] = []
        self._shapes: Mapping[str, tuple[int, ...]] = {}
        self.whole = True

    @property
    def has_news(self) -> bool:
        """Whether the snapshot is worth keeping: samples, or passes that are complete."""
        return self._samples > 0 or (self._begun.last < 0 and len(self._begun.parts) > 1)

    def take(self, sample: Sample, values: Mapping[str, NDArray[Any]]) -> None:
        self.whole = False
        self._counting.observe(values)
        self._last, self._findings = sample.number, self._feed.findings
        self._samples += sample.count
        self._digests.append(sample.digest)
        self._parts += sample.digests
        shapes = {name: array.shape for name, array in sample.tensors.items()}
        self._shapes = largest_shapes(self._shapes, shapes)
        self.whole = True

    def snapshot(self) -> Snapshot:
        *before, part = self._begun.parts
        since = replace(
            part,
            data_digest=add_digests(*self._digests),
            samples=self._samples,
            input_shapes=self._shapes,
            sample_digests=short_digests(self._parts),
            tensors={
                name: TensorStatistics(values=values, samples=self._samples)
                for name, values in self._counting.freeze().items()
            },
        )
        return Snapshot(parts=(*before, part + since), last=self._last, findings=self._findings)


def side_by_side(parts: Sequence[Statistics]) -> Statistics:
    """Join statistics of different tensors over the same data (OQ432)."""
    if len({part.data_digest for part in parts}) > 1:
        raise error(
            "OQ432",
            "the data was not the same in every pass over it",
            fix="leave the files alone; in a loader do not shuffle, or shuffle with a seed",
        )
    return replace(parts[0], tensors={k: t for part in parts for k, t in part.tensors.items()})
