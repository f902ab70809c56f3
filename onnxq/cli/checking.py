"""The step of verify: lint, compare and compile Q/DQ models, and hold the report to thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onnxq.cli import options, page
from onnxq.diagnostics import Diagnostic

if TYPE_CHECKING:
    from onnxq.cli.screen import Screen
    from onnxq.feeds import Feed
    from onnxq.verification import CompileOptions, Profile, Unused, VerifyReport
    from onnxq.verification.labels import Labels
    from onnxq.verification.thresholds import Thresholds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checking:
    """What the options ask for, read and known to be possible before anything runs."""

    asked: options.Checks
    compiling: CompileOptions
    least: Thresholds
    labels: Labels | None

    def run(
        self,
        screen: Screen,
        subject: page.Subject,
        samples: Unused | None,
        feed: Feed | None,
        before: Sequence[Diagnostic] = (),
    ) -> tuple[VerifyReport, tuple[Diagnostic, ...]]:
        """The report, and what was found: `before`, in the feed, by it, and by the thresholds.

        Writes the page.
        """
        from onnxq import verification
        from onnxq.verification import thresholds

        length = None if samples is None else samples.length
        then = "linting" if self.asked.backend == "onnxruntime" else "compiling"
        what = then if samples is None else "comparing"
        with screen.progress(what, length, then=then) as step:
            report = verification.verify(
                subject.model,
                subject.qdq,
                samples,
                tensors=self.asked.tensors,
                labels=self.labels,
                backend=self.asked.backend,
                shapes=subject.shapes if samples is None else None,
                compiling=self.compiling,
                fp32_engine=self.asked.fp32_engine,
                progress=lambda done: step(),
            )
        report = _named(report, subject)
        refused = thresholds.refusals(report, self.least)
        found = (*before, *(feed.warnings if feed else ()), *report.diagnostics, *refused)
        if self.asked.html is not None:
            found += page.write(self.asked.html, report, subject, self.least, found)
        return report, found

    def tell(self, screen: Screen, report: VerifyReport, found: Sequence[Diagnostic]) -> None:
        """Print what was found and the report."""
        from onnxq import render

        screen.tell(found, everything=self.asked.everything)
        render.verify_report(screen.out, report, everything=self.asked.everything)
        if self.asked.html is not None:
            screen.out.print(f"page: {self.asked.html}")


def _named(report: VerifyReport, subject: page.Subject) -> VerifyReport:
    """The report with the name of the float model instead of the path that was read."""
    path, name = str(subject.model), str(subject.name or subject.model)
    runs = tuple(replace(run, model=name) if run.model == path else run for run in report.runs)
    return replace(report, float_model=name, runs=runs)


def prepare(
    asked: options.Checks, profiles: Mapping[str, Profile], outputs: Sequence[str]
) -> Checking:
    """Read the options, for a model with these outputs (OQ601, OQ651, OQ654, OQ664)."""
    from onnxq.verification import CompileOptions, tensorrt, thresholds
    from onnxq.verification.labels import load

    tensorrt.require_backend(asked.backend)
    least = thresholds.parse(
        outputs,
        sqnr=asked.min_sqnr or (),
        cosine=asked.min_cosine or (),
        int8=asked.min_int8,
        quantized=asked.min_quantized,
    )
    compiling = CompileOptions(
        profiles=profiles,
        targets=_targets(asked.target),
        timeout=asked.timeout,
        cache=not asked.no_cache,
    )
    labels = None if asked.labels is None else load(asked.labels)
    return Checking(asked=asked, compiling=compiling, least=least, labels=labels)


def _targets(given: list[str] | None) -> tuple[tuple[int, int], ...]:
    """Read --target options (OQ664), for which TensorRT-RTX must be installed (OQ601)."""
    if not given:
        return ()
    from onnxq.verification import targets, tensorrt

    tensorrt.require()
    return targets.parse(given)
