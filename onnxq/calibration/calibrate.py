"""Model x data -> Statistics: onnxruntime runs, observed tensors are counted as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx
from numpy.typing import NDArray

from onnxq.calibration.checkpoint import Checkpoint, Snapshot
from onnxq.calibration.counting import Counting
from onnxq.calibration.exposing import Exposing, expose
from onnxq.calibration.observation import in_passes, observe
from onnxq.calibration.statistics import (
    Statistics,
    TensorStatistics,
    add_digests,
    largest_shapes,
    short_digests,
)
from onnxq.descriptor import Calibrator
from onnxq.diagnostics import Diagnostic, OnnxqError, error
from onnxq.feeds import Feed
from onnxq.feeds.samples import Sample
from onnxq.interrupts import held
from onnxq.model import ops
from onnxq.model.existing import is_quantized
from onnxq.model.graph import Graph
from onnxq.planning.plan import Plan
from onnxq.sessions import CPU, sizes

# Samples done since the last call, at first those of the run that is resumed; passes over the data.
Progress = Callable[[int, int], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a calibration runs.

    `providers` are onnxruntime's, first choice first. Tensors that together take more than
    `max_memory` bytes are observed in several passes over the data. `threads` are those that
    compute, by default one a core.
    """

    calibrator: Calibrator = "histogram"
    providers: tuple[str, ...] = (CPU,)
    max_memory: int | None = None
    threads: int | None = None


def observed_tensors(graph: Graph, plan: Plan | None = None) -> tuple[str, ...]:
    """Activations to observe: those that a plan quantizes, else all that could be quantized."""
    if plan is None:
        return tuple(t for t in ops.observable(graph) if not is_quantized(graph, t))
    return tuple(dict.fromkeys(p.tensor for p in plan.pairs if p.kind == "activation"))


def calibrate(
    model: onnx.ModelProto,
    graph: Graph,
    feed: Feed,
    *,
    tensors: Iterable[str],
    model_name: str = "",
    settings: Settings | None = None,
    plan: Plan | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress = lambda done, passes: None,
) -> Statistics:
    """Run the model over the feed and return the statistics of `tensors`.

    Those that turn out not to be float are left out, or refused before anything runs when `plan`
    quantizes them (OQ213). Memory does not grow with the number of samples. With a `checkpoint`
    what was gathered is kept twice a minute and when the run breaks off, and a run begins where
    the last one stood; the result is the same to the bit, and the feed tells the same. Raises
    OQ305 when onnxruntime cannot load or run the model, OQ432 when the feed gives other data in a
    later pass, and what feeds and checkpoints raise.
    """
    settings = settings or Settings()
    observation = observe(graph, (t for t in tensors if ops.may_be_observed(graph, t)))
    passes: tuple[tuple[str, ...], ...] = (observation.exposed,)
    if settings.max_memory is not None:
        sample = next(iter(feed), None)
        taken = sizes(model, observation.exposed, sample) if sample else {}
        passes = in_passes(observation.exposed, taken, settings.max_memory if sample else None)
    gathered = checkpoint.begin(passes) if checkpoint else Snapshot()
    progress(sum(part.samples for part in gathered.parts), len(passes))
    nothing = Statistics(
        model_name=model_name,
        model_digest=graph.digest,
        calibrator=settings.calibrator,
        preprocess="" if feed.preprocess is None else feed.preprocess.model_dump_json(),
        data=feed.unreal,
    )
    for number in range(max(0, len(gathered.parts) - 1), len(passes)):
        if number == len(gathered.parts):
            gathered = Snapshot(parts=(*gathered.parts, nothing))
        walk = _walk(model, graph, passes[number], settings, plan)
        gathered = walk.through(
            feed,
            gathered,
            keep=_Keeping(checkpoint, passes),
            progress=lambda done: progress(done, len(passes)),
        )
    whole = side_by_side(gathered.parts)
    return replace(whole, tensors=observation.complete(whole.tensors, whole.samples))


def _walk(
    model: onnx.ModelProto,
    graph: Graph,
    tensors: Sequence[str],
    settings: Settings,
    plan: Plan | None,
) -> _Walk:
    """Open a session that gives out those of the tensors that are float."""
    inner = [name for name in tensors if name not in graph.inputs]
    exposing = expose(model, inner, providers=settings.providers, threads=settings.threads)
    floats = exposing.floats()
    if plan is not None:
        _require_floats(plan, set(tensors) - floats)
    return _Walk(
        exposing=exposing,
        tensors=[name for name in tensors if name in floats],
        settings=settings,
    )


def _require_floats(plan: Plan, others: Collection[str]) -> None:
    found = [
        Diagnostic(
            code="OQ213",
            message=f"rule '{d.because.rule}': '{d.tensor}' of '{d.edge.node}' is not float",
            fix="name only ports that hold float32 or float16 data",
            span=d.because.span,
        )
        for d in plan.decisions
        if d.kind == "activation" and d.descriptor and d.tensor in others
    ]
    if found:
        raise OnnxqError(*found)


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
        """Go on from a snapshot to the end of the feed; keep what there is now and then."""
        with Counting(self.tensors, self.settings.calibrator, self.settings.threads) as counting:
            tally = _Tally(begun, counting, feed)
            try:
                for sample in feed.after(begun.done):
                    values = self.exposing.run(sample, self.tensors)
                    with held():
                        tally.take(sample, values)
                    del values  # or the next run would need as much memory again
                    progress(sample.count)
                    if keep.due():
                        keep.keep(tally.snapshot())
            except BaseException:
                if tally.whole and tally.is_news:
                    keep.keep(tally.snapshot())
                raise
            return tally.snapshot()


class _Keeping:
    """When to write the checkpoint of a run, if it has one."""

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
    """What a walk has gathered since a snapshot; `whole` except while a sample is being counted."""

    def __init__(self, begun: Snapshot, counting: Counting, feed: Feed) -> None:
        self._begun, self._counting, self._feed = begun, counting, feed
        self._last, self._found = begun.last, begun.found
        self._samples = 0
        self._digests: list[str] = []
        self._parts: list[str] = []
        self._shapes: Mapping[str, tuple[int, ...]] = {}
        self.whole = True

    @property
    def is_news(self) -> bool:
        """Whether the snapshot is worth keeping: samples, or passes that are complete."""
        return self._samples > 0 or (self._begun.last < 0 and len(self._begun.parts) > 1)

    def take(self, sample: Sample, values: Mapping[str, NDArray[Any]]) -> None:
        self.whole = False
        self._counting.observe(values)
        self._last, self._found = sample.number, self._feed.found
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
                name: TensorStatistics(values=seen, samples=self._samples)
                for name, seen in self._counting.freeze().items()
            },
        )
        return Snapshot(parts=(*before, part + since), last=self._last, found=self._found)


def side_by_side(parts: Sequence[Statistics]) -> Statistics:
    """Put statistics of different tensors over the same data into one (OQ432)."""
    if len({part.data_digest for part in parts}) > 1:
        raise error(
            "OQ432",
            "the data were not the same in every pass over them",
            fix="leave the data as they are; a loader must not shuffle, or needs a seed",
        )
    return replace(parts[0], tensors={k: t for part in parts for k, t in part.tensors.items()})
