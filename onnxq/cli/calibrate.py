"""onnxq calibrate: gather activation statistics."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from onnxq.cli import options
from onnxq.diagnostics import error

if TYPE_CHECKING:
    from rich.console import Console

    from onnxq.statistics import Statistics

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
    output: options.Output = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Gather statistics; the file is written to the working folder unless -o says else."""
    from onnxq import calibrate, cascade, graph, recipe, render
    from onnxq import model as models

    out, err = options.consoles(as_json=as_json, quiet=quiet)
    shapes = options.shapes(shape)
    path = output or Path(f"{model.stem}.calib.npz")
    proto, digest = options.read_model(model, existing)
    request = options.data_request(
        data, preprocess_name, shapes, samples=samples, seed=seed, batch=batch, ragged=ragged
    )
    options.output_path(path, model, *models.external_files(model), request.path, _file(rules))
    view = graph.Graph(proto, digest=digest, shapes=shapes)
    plan = cascade.plan(view, recipe.load(rules)) if rules else None
    tensors = calibrate.observed_tensors(view, plan)
    require_some(tensors, model)
    feed = request.open(view)
    options.tell_data(out, feed, preprocess_name)
    with options.progress(err, "calibrating", feed.length, quiet=quiet or as_json) as step:
        statistics = calibrate.calibrate(
            proto,
            view,
            feed,
            tensors=tensors,
            model_name=relative(model, path.parent),
            calibrator=calibrator,
            plan=plan,
            progress=step,
        )
    statistics.save(path)
    found = (*(plan.diagnostics if plan else ()), *feed.warnings)
    render.diagnostics(err, found)
    tell(out, path, statistics)
    if as_json:
        told = [render.diagnostic_dict(d) for d in found]
        options.print_json({**to_dict(path, statistics), "diagnostics": told})


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
        f"{path}: {len(statistics.tensors)} tensors, {statistics.samples} samples, "
        f"{_values(statistics) / 1e6:,.0f} million values"
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


def _values(statistics: Statistics) -> int:
    return sum(t.range.count for t in statistics.tensors.values())


def relative(model: Path, folder: Path) -> str:
    """The model's path from a folder; a model that is a link keeps the name of the link."""
    named = model.parent.resolve() / model.name
    return Path(os.path.relpath(named, folder.resolve())).as_posix()


def _file(rules: str | None) -> Path | None:
    return None if rules is None else Path(rules)
