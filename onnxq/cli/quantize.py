"""onnxq quantize: calibrate, insert and verify in one go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from onnxq.cli import calibrate, insert, options
from onnxq.cli.progress import progress
from onnxq.diagnostics import Severity, error

if TYPE_CHECKING:
    from onnx import ModelProto

    from onnxq.feeds import DataRequest
    from onnxq.model.graph import Graph
    from onnxq.planning.plan import Plan

HELP = "Calibrate, insert and verify in one go."
EXAMPLE = "Example: `onnxq quantize model.onnx --data imgs/ --rules yolo.yaml`"


def run(
    model: Annotated[Path, typer.Argument(help="The FP32 ONNX model.", show_default=False)],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="As for calibrate; a recipe for weights alone needs none.",
            show_default=False,
            rich_help_panel="Data",
        ),
    ] = None,
    rules: options.Rules = "trt-int8",
    preprocess_name: options.PreprocessName = None,
    shape: options.Shape = None,
    samples: options.Samples = None,
    seed: options.Seed = None,
    batch: options.Batch = None,
    ragged: options.Ragged = False,
    verify_data: Annotated[
        str | None,
        typer.Option(
            "--verify-data",
            metavar="PATH",
            help="Other samples to compare on; those of --data flatter.",
            show_default=False,
            rich_help_panel="Data",
        ),
    ] = None,
    backend: options.Backend = "auto",
    min_sqnr: options.MinSqnr = None,
    min_cosine: options.MinCosine = None,
    min_int8: options.MinInt8 = None,
    timeout: options.Timeout = 600.0,
    existing: options.Existing = "refuse",
    output: options.Output = None,
    weights: options.Weights = "int8",
    float_type: options.Float = "fp32",
    io_types: options.IoTypes = "keep",
    strict: options.Strict = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the Q/DQ model, and the calibration beside it, which serves other recipes too."""
    from onnxq import render
    from onnxq import verify as verifying
    from onnxq.calibration import calibrate as calibrating
    from onnxq.insertion import insert as inserting
    from onnxq.model import graph
    from onnxq.model import io as models
    from onnxq.planning import cascade, recipe
    from onnxq.verify import Unused, thresholds

    out, err = options.consoles(as_json=as_json, quiet=quiet)
    options.require_float(float_type, io_types)
    shapes = options.shapes(shape)
    compiled_rules = recipe.load(rules)
    path = output or Path(f"{model.stem}.qdq.onnx")
    calibration = path.with_name(f"{model.stem}.calib.npz")
    verifying.tensorrt.require_backend(backend)
    proto, digest = options.read_model(model, existing)
    request, other = (
        None
        if source is None
        else options.data_request(
            source,
            preprocess_name,
            shapes,
            samples=samples,
            seed=seed,
            batch=batch,
            ragged=ragged,
        )
        for source in (data, verify_data or data)
    )
    external = models.external_files(model)
    read = (model, *external, *(r.path for r in (request, other) if r), Path(rules))
    options.output_path(path, *read)
    options.output_path(models.data_path(path), *read)
    options.output_path(calibration, *read)
    view = graph.Graph(proto, digest=digest, shapes=shapes)
    least = thresholds.parse(
        view.outputs, sqnr=min_sqnr or (), cosine=min_cosine or (), int8=min_int8
    )
    plan = cascade.plan(view, compiled_rules)
    if strict:
        options.refuse_warnings(plan.diagnostics)
    _require_data(plan, request)
    feed, others = (None if r is None else r.open(view) for r in (request, other))
    if (shown := feed or others) is not None:
        options.tell_data(out, shown, preprocess_name)
    if feed is None:
        given = insert.uncalibrated(model, digest)
    else:
        tensors = _observed(view, plan)
        calibrate.require_some(tensors, model)
        with progress(err, "calibrating", feed.length, quiet=quiet or as_json) as step:
            made = calibrating.calibrate(
                proto,
                view,
                feed,
                tensors=tensors,
                model_name=calibrate.relative(model, path.parent),
                plan=plan,
                progress=step,
            )
        made.save(calibration)
        calibrate.tell(out, calibration, made)
        given = insert.Calibrated(path=calibration, statistics=made)
    statistics = given.statistics
    higher = inserting.with_types(proto, plan)
    raised = options.compare_raised(model, existing, higher, {**shapes, **statistics.input_shapes})
    written = insert.write(
        path,
        proto,
        view,
        plan,
        statistics,
        weights=weights,
        float_type=float_type,
        io_types=io_types,
        external=bool(external),
    )
    insert.tell(out, path, view, plan, given.path, written, raised)
    unused = None if others is None else Unused(others, [statistics])
    total = None if unused is None else unused.length
    with (
        _compared_with(model, proto, existing) as before,
        progress(err, "comparing", total, quiet=quiet or as_json) as step,
    ):
        report = verifying.verify(
            before,
            [path],
            unused,
            backend=backend,
            shapes=shapes,
            compiling=verifying.CompileOptions(timeout=timeout),
            progress=lambda done: step(),
        )
    render.verify_report(out, report)
    found = (
        *plan.diagnostics,
        *(feed.warnings if feed else insert.without_ranges(float_type)),
        *written.diagnostics,
        *(raised.diagnostics if raised else ()),
        *(others.warnings if verify_data and others else ()),
        *report.diagnostics,
        *thresholds.refusals(report, least),
    )
    render.diagnostics(err, found, everything=False)
    if as_json:
        options.print_json(
            {
                "output": str(path),
                "model": str(model),
                "calibrate": calibrate.to_dict(calibration, statistics) if feed else None,
                "insert": insert.to_dict(view, plan, written, raised),
                "verify": report.to_dict(),
                "diagnostics": [render.diagnostic_dict(d) for d in found],
            }
        )
    if any(d.severity is Severity.ERROR for d in found):
        raise typer.Exit(1)


def _require_data(plan: Plan, request: DataRequest | None) -> None:
    """Raise OQ225 when activations have pairs and there is nothing to calibrate on."""
    if request is None and plan.needs_data:
        raise error(
            "OQ225",
            f"recipe '{plan.recipe}' quantizes activations, and there is no --data",
            fix="give the samples to calibrate on",
        )


def _observed(view: Graph, plan: Plan) -> tuple[str, ...]:
    """What any recipe would quantize, and what this one does."""
    from onnxq.calibration.calibrate import observed_tensors

    return tuple(dict.fromkeys([*observed_tensors(view), *observed_tensors(view, plan)]))


@contextmanager
def _compared_with(
    model: Path, proto: ModelProto, existing: options.ExistingPairs
) -> Iterator[Path]:
    """The file to compare with: the model's own, or one without the pairs that were stripped."""
    from onnxq.model import io as models

    if existing != "strip":
        yield model
        return
    with TemporaryDirectory() as folder:
        models.save(proto, path := Path(folder) / model.name)
        yield path
