"""onnxq calibrate: gather activation statistics."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from onnxq.cli import long_runs, options
from onnxq.cli.progress import progress
from onnxq.diagnostics import counted, error

if TYPE_CHECKING:
    from rich.console import Console

    from onnxq.calibration.statistics import Statistics

HELP = "Run the model over the data and write the statistics of every activation."
EXAMPLE = "Example: `onnxq calibrate model.onnx --data imgs/ --preprocess yolo`"


def run(
    model: Annotated[Path, typer.Argument(help="The FP32 ONNX model.", show_default=False)],
    data: options.Data,
    preprocess_name: options.PreprocessName = None,
    shape: options.Shape = None,
    samples: options.Samples = None,
    seed: options.Seed = None,
    batch: options.Batch = None,
    ragged: options.Ragged = False,
    rules: Annotated[
        str | None,
        typer.Option("--rules", metavar="NAME|FILE", help="Observe only what it quantizes."),
    ] = None,
    calibrator: Annotated[
        Literal["histogram", "max"],
        typer.Option("--calibrator", help="'histogram' serves every method, 'max' only max."),
    ] = "histogram",
    existing: options.Existing = "refuse",
    checkpoint: options.Checkpoint = None,
    resume: options.Resume = False,
    shard: options.Shard = None,
    worker_count: options.Workers = None,
    cluster: options.Cluster = None,
    provider: options.Provider = None,
    max_memory: options.MaxMemory = None,
    output: options.Output = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Gather statistics; the file is written to the working folder unless -o says else."""
    from onnxq import render, sessions
    from onnxq.calibration import calibrate as calibrating
    from onnxq.calibration import workers
    from onnxq.model import graph
    from onnxq.model import io as models
    from onnxq.planning import cascade, recipe

    out, err = options.consoles(as_json=as_json, quiet=quiet)
    part = long_runs.shard(shard)
    long_runs.require_alone(worker_count, cluster, checkpoint, resume, part)
    settings = calibrating.Settings(
        calibrator=calibrator,
        providers=(sessions.CPU,)
        if provider is None
        else (sessions.provider(provider), sessions.CPU),
        max_memory=long_runs.in_bytes(max_memory),
    )
    shapes = options.shapes(shape)
    path = output or Path(f"{model.stem}{long_runs.suffix(part)}.calib.npz")
    proto, digest = options.read_model(model, existing)
    request = options.data_request(
        data, preprocess_name, shapes, samples=samples, seed=seed, batch=batch, ragged=ragged
    )
    read = (model, *models.external_files(model), request.path, _file(rules))
    options.output_path(path, *read)
    view = graph.Graph(proto, digest=digest, shapes=shapes)
    plan = cascade.plan(view, recipe.load(rules)) if rules else None
    tensors = calibrating.observed_tensors(view, plan)
    require_some(tensors, model)
    feed = request.open(view).part(*part)
    options.tell_data(out, feed, preprocess_name)
    name = relative(model, path.parent)
    run_of = {
        "the model": digest[:16],
        "--existing": existing,
        "--shard": shard or "",
        "--calibrator": calibrator,
        "--provider": provider or "",
        "--max-memory": max_memory or "",
    }
    with (
        progress(err, "calibrating", feed.length, quiet=quiet or as_json) as step,
        long_runs.checkpoint(checkpoint, resume, read, path, run_of, request, err) as kept,
    ):
        if worker_count is None:
            statistics = calibrating.calibrate(
                proto,
                view,
                feed,
                tensors=tensors,
                model_name=name,
                settings=settings,
                plan=plan,
                checkpoint=kept,
                progress=step,
            )
            told = feed.warnings
        else:
            job = workers.Job(
                model=str(model.absolute()),
                strip=existing == "strip",
                digest=digest,
                model_name=name,
                data=request.absolute(),
                tensors=tensors,
                settings=settings,
            )
            statistics, seen = workers.calibrate_with(
                worker_count, job, address=cluster, samples=feed.length, progress=step
            )
            told = feed.told(seen)
        statistics.save(path)
    found = (*(plan.diagnostics if plan else ()), *told)
    render.diagnostics(err, found)
    tell(out, path, statistics)
    if as_json:
        shown = [render.diagnostic_dict(d) for d in found]
        options.print_json({**to_dict(path, statistics), "diagnostics": shown})


def require_some(tensors: Collection[str], model: Path) -> None:
    """Raise OQ306 when there is nothing to observe."""
    if not tensors:
        raise error(
            "OQ306",
            f"'{model}' has no float32 activation that could be quantized",
            fix="give the FP32 export of a model with Conv, Gemm or MatMul",
        )


def tell(out: Console, path: Path, statistics: Statistics) -> None:
    """Print what was gathered, in a line."""
    out.print(
        f"{path}: {counted(len(statistics.tensors), 'tensor')}, "
        f"{counted(statistics.samples, 'sample')}, {_values_text(_values(statistics))}"
    )


def to_dict(path: Path, statistics: Statistics) -> dict[str, Any]:
    """What was gathered, for JSON."""
    return {
        "output": str(path),
        "samples": statistics.samples,
        "tensors": len(statistics.tensors),
        "values": _values(statistics),
        "digest": statistics.digest,
    }


def _values_text(count: int) -> str:
    return f"{count / 1e6:,.0f} million values" if count >= 1e6 else f"{count:,} values"


def _values(statistics: Statistics) -> int:
    return sum(t.range.count for t in statistics.tensors.values())


def relative(model: Path, folder: Path) -> str:
    """The model's path from a folder; a model that is a link keeps the name of the link."""
    named = model.parent.resolve() / model.name
    return Path(os.path.relpath(named, folder.resolve())).as_posix()


def _file(rules: str | None) -> Path | None:
    return None if rules is None else Path(rules)
