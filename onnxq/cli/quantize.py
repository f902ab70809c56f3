"""onnxq quantize: calibrate, insert and verify in one go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from onnxq.cli import checking, finding, gathering, long_runs, options, page, paths, placing, shapes
from onnxq.cli import data as datasets
from onnxq.cli.screen import QuietScreen, Screen
from onnxq.diagnostics import Diagnostic, Severity, error

if TYPE_CHECKING:
    from onnxq.feeds import DataRequest, Feed
    from onnxq.model.source import Source
    from onnxq.planning.plan import Plan
    from onnxq.verification import VerifyReport

HELP = "Calibrate, insert and verify in one go, with the options of all three."
EXAMPLE = "Example: `onnxq quantize model.onnx --data imgs/ --rules yolo.yaml --min-sqnr 20`"


def run(
    model: options.FloatModel,
    *,
    data: options.DataForScales = None,
    preprocess: options.Preprocess = None,
    rules: options.MaybeRules = None,
    output: Annotated[Path | None, options.output("MODEL.qdq.onnx")] = None,
    screen: QuietScreen,
    verify_data: options.VerifyData = None,
    shape: options.Profiles = None,
    selection: options.Selection,
    plan_path: options.Plan = None,
    placement: options.Placement,
    existing: options.Existing = "refuse",
    strict: options.Strict = False,
    checks: options.Checks,
    calibrator: options.Calibrator = "histogram",
    long_run: options.LongRun,
) -> None:
    """Write the Q/DQ model, and the calibration beside it, which serves other recipes too."""
    from onnxq import render
    from onnxq.model import source
    from onnxq.model.graph import Graph

    placing.require_float(placement)
    long_runs.require_alone(long_run)
    settings = gathering.settings(calibrator, long_run)
    profiles = shapes.profiles(shape)
    sizes = shapes.usual(profiles)
    make_plan = placing.planner(rules, plan_path)
    read = source.read(model, existing)
    view = Graph(read.model, digest=read.digest, shapes=sizes)
    prepared = checking.prepare(checks, profiles, view.outputs)
    request, other = (
        None if path is None else datasets.request(path, preprocess, sizes, selection)
        for path in (data, verify_data or data)
    )
    data_files = (r.path for r in (request, other) if r)
    rule_files = (plan_path, Path(rules or options.RECIPE))
    files = (*read.files, *data_files, *rule_files, checks.labels)
    path = output or Path(f"{model.stem}.qdq.onnx")
    calibration = path.with_name(f"{model.stem}.calib.npz")
    _require_places(path, calibration, checks.html, long_run.checkpoint, files)
    plan = make_plan(view)
    if strict:
        placing.refuse_warnings(plan)
    _require_data(plan, request)
    feed, others = (None if r is None else r.open(view) for r in (request, other))
    if (shown := feed or others) is not None:
        datasets.tell(screen, shown, preprocess)
    if feed is None or request is None:
        given = finding.uncalibrated(read, sizes)
        told = tuple(placing.without_ranges(placement))
    else:
        statistics, told = gathering.Gathering(
            source=read,
            view=view,
            tensors=gathering.observed(read, view, None, plan),
            plan=plan,
            request=request,
            feed=feed,
            settings=settings,
            float_type=placement.float_type,
            long_run=long_run,
            path=calibration,
            read=files,
        ).run(screen)
        render.gathered(screen.out, calibration, statistics)
        given = finding.Calibrated(path=calibration, statistics=statistics)
    placed = placing.place(path, read, view, plan, given.statistics, placement)
    placed.tell(screen.out, given.path)
    report, found = _verified(
        screen,
        prepared,
        read,
        placed,
        given,
        feed=others,
        is_new=verify_data is not None,
        before=(*read.diagnostics, *placed.diagnostics, *told),
    )
    prepared.tell(screen, report, found)
    screen.result(
        {
            "output": str(path),
            "model": str(model),
            "calibrate": render.gathered_dict(calibration, statistics) if feed else None,
            "insert": placed.to_dict(),
            "verify": report.to_dict(),
        },
        found,
    )
    if any(d.severity is Severity.ERROR for d in found):
        raise typer.Exit(1)


def _require_places(
    path: Path,
    calibration: Path,
    html: Path | None,
    checkpoint: Path | None,
    read: Sequence[Path | None],
) -> None:
    """Make sure that all can be written, and nothing over another (OQ501, OQ502, OQ670)."""
    from onnxq.model.io import data_path

    paths.model_output(path, read)
    paths.output(calibration, read)
    page.require(html, read)
    paths.require_different(
        {
            "the output": path,
            "the data of the output": data_path(path),
            "the calibration": calibration,
            "--html": html,
            "--checkpoint": checkpoint,
        }
    )


def _require_data(plan: Plan, request: DataRequest | None) -> None:
    """Raise OQ225 when activations have pairs and there is nothing to calibrate on."""
    if request is None and plan.needs_data:
        raise error(
            "OQ225",
            f"recipe '{plan.recipe}' quantizes activations, and there is no --data",
            fix="give the samples to calibrate on",
        )


def _verified(
    screen: Screen,
    prepared: checking.Checking,
    source: Source,
    placed: placing.Placed,
    given: finding.Calibrated,
    *,
    feed: Feed | None,
    is_new: bool,
    before: Sequence[Diagnostic],
) -> tuple[VerifyReport, tuple[Diagnostic, ...]]:
    """Check what was placed; a feed that `is_new` was not told about yet."""
    from onnxq.verification import Unused
    from onnxq.verification.origins import Sources

    calibrations = [None if given.path is None else given.statistics]
    with _compared_with(source) as model:
        subject = page.Subject(
            model=model,
            name=source.path,
            qdq=[placed.path],
            calibrations=calibrations,
            sources=Sources(plan=placed.plan),
        )
        samples = None if feed is None else Unused(feed, calibrations)
        return prepared.run(screen, subject, samples, feed if is_new else None, before)


@contextmanager
def _compared_with(source: Source) -> Iterator[Path]:
    """The file to compare with: the model's own, or one without the pairs that were stripped."""
    from onnxq.model import io as models

    if source.existing != "strip":
        yield source.path
        return
    with TemporaryDirectory() as folder:
        models.save(source.model, path := Path(folder) / source.path.name)
        yield path
