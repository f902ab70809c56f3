"""The step of calibrate: samples run through the model, and what was seen goes into a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from onnxq.cli import long_runs, options, paths
from onnxq.diagnostics import Diagnostic, error

if TYPE_CHECKING:
    from onnxq.calibration.calibrate import Settings
    from onnxq.calibration.checkpoint import Checkpoint
    from onnxq.calibration.statistics import Statistics
    from onnxq.cli.progress import Step
    from onnxq.cli.screen import Screen
    from onnxq.descriptor import Calibrator
    from onnxq.feeds import DataRequest, Feed
    from onnxq.feeds.checks import Findings
    from onnxq.insertion.precision import FloatName
    from onnxq.model.graph import Graph
    from onnxq.model.source import Source
    from onnxq.planning.plan import Plan


def settings(calibrator: Calibrator, long_run: options.LongRun) -> Settings:
    """How a calibration runs (OQ430, OQ434)."""
    from onnxq import sessions
    from onnxq.calibration.calibrate import Settings

    named = () if long_run.provider is None else (sessions.provider(long_run.provider),)
    return Settings(
        calibrator=calibrator,
        providers=(*named, sessions.CPU),
        max_memory=long_runs.in_bytes(long_run.max_memory),
    )


def observed(source: Source, view: Graph, *plans: Plan | None) -> tuple[str, ...]:
    """The activations to observe for some plans; None is what could be quantized (OQ306)."""
    from onnxq.calibration.calibrate import observed_tensors

    found = dict.fromkeys(tensor for plan in plans for tensor in observed_tensors(view, plan))
    if not found:
        raise error(
            "OQ306",
            f"'{source.path}' has no float32 or float16 activation that could be quantized",
            fix="give the FP32 or FP16 export of a model with Conv, Gemm or MatMul",
        )
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gathering:
    """A calibration that can begin: what is observed of which model, and where it is written.

    `read` is what must not be written to; the feed is that of the shard.
    """

    source: Source
    view: Graph
    tensors: Sequence[str]
    plan: Plan | None
    request: DataRequest
    feed: Feed
    settings: Settings
    float_type: FloatName = "fp32"
    long_run: options.LongRun
    shard: str | None = None
    path: Path
    read: Sequence[Path | None]

    def run(self, screen: Screen) -> tuple[Statistics, tuple[Diagnostic, ...]]:
        """Write the statistics; return them, and what the data had to tell."""
        with (
            screen.progress("calibrating", self.feed.length) as step,
            long_runs.checkpoint(
                self.long_run, self.read, self.path, self._run_of, self.request, screen.err
            ) as kept,
        ):
            statistics, told = self._observe(self.tensors, self.settings, step, kept)
            statistics = self._with_ranges(statistics, step)
            statistics.save(self.path)
        return statistics, tuple(told)

    def _observe(
        self,
        tensors: Sequence[str],
        settings: Settings,
        step: Step,
        checkpoint: Checkpoint | None = None,
    ) -> tuple[Statistics, Sequence[Diagnostic]]:
        """Run the samples here, or on workers."""
        if self.long_run.worker_count is not None:
            statistics, findings = self._shared_out(
                self.long_run.worker_count, tensors, settings, step
            )
            return statistics, self.feed.told(findings)
        from onnxq.calibration.calibrate import calibrate

        statistics = calibrate(
            self.source.model,
            self.view,
            self.feed,
            tensors=tensors,
            model_name=self._model_name,
            settings=settings,
            plan=self.plan,
            checkpoint=checkpoint,
            progress=step,
        )
        return statistics, self.feed.warnings

    def _with_ranges(self, statistics: Statistics, step: Step) -> Statistics:
        """Add the ranges that a half-precision type needs, from a second run over the samples."""
        if self.float_type == "fp32":
            return statistics
        from onnxq.calibration.half_ranges import with_ranges
        from onnxq.insertion.precision import HALF

        def again(done: int = 1, passes: int = 1) -> None:
            step(done, passes + 1)

        settings = replace(self.settings, calibrator="max")
        return with_ranges(
            statistics,
            self.view,
            HALF[self.float_type].largest,
            lambda tensors: self._observe(tensors, settings, again)[0],
        )

    @property
    def _run_of(self) -> dict[str, str]:
        """What tells one run from another, beside the data."""
        return {
            "the model": self.source.digest[:16],
            "--existing": self.source.existing,
            "--shard": self.shard or "",
            "--calibrator": self.settings.calibrator,
            "--float": "" if self.float_type == "fp32" else self.float_type,
            "--provider": self.long_run.provider or "",
            "--max-memory": self.long_run.max_memory or "",
        }

    @property
    def _model_name(self) -> str:
        return paths.relative(self.source.path, self.path.parent)

    def _shared_out(
        self, count: int, tensors: Sequence[str], settings: Settings, step: Step
    ) -> tuple[Statistics, Findings]:
        from onnxq.calibration import workers

        job = workers.Job(
            model=str(self.source.path.absolute()),
            existing=self.source.existing,
            digest=self.source.digest,
            model_name=self._model_name,
            data=self.request.absolute(),
            tensors=tuple(tensors),
            settings=settings,
        )
        return workers.calibrate_with(
            count, job, address=self.long_run.cluster, samples=self.feed.length, progress=step
        )
