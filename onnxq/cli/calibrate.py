"""onnxq calibrate: gather activation statistics."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from onnxq.cli import options

HELP = "Run the model over the data and write the statistics of every activation."
EXAMPLE = "Example: `onnxq calibrate model.onnx --data imgs/ --preprocess yolo`"


def run(
    model: Annotated[Path, typer.Argument(help="The FP32 ONNX model.", show_default=False)],
    data: options.Data,
    preprocess_name: options.PreprocessName = None,
    shape: options.Shape = None,
    rules: Annotated[
        str | None,
        typer.Option("--rules", metavar="NAME|FILE", help="Observe only what it quantizes."),
    ] = None,
    calibrator: Annotated[
        Literal["histogram", "max"],
        typer.Option("--calibrator", help="'histogram' serves every method, 'max' only max."),
    ] = "histogram",
    output: options.Output = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Gather statistics; the file is written to the working folder unless -o says else."""
    from onnxq import calibrate, cascade, feeds, graph, preprocess, recipe, render
    from onnxq import model as models

    out, err = options.consoles(as_json=as_json, quiet=quiet)
    shapes = options.shapes(shape)
    path = options.output_path(output or Path(f"{model.stem}.calib.npz"), model)
    proto = models.name_nodes(models.load(model))
    models.refuse_quantized(proto, model)
    view = graph.Graph(proto, digest=models.digest(model), shapes=shapes)
    plan = cascade.plan(view, recipe.load(rules)) if rules else None
    how = preprocess.load(preprocess_name) if preprocess_name else None
    feed = feeds.open_feed(data, view, shapes=shapes, how=how)
    options.tell_preprocess(out, feed, preprocess_name)
    with options.progress(err, "calibrating", len(feed), quiet=quiet or as_json) as step:
        statistics = calibrate.calibrate(
            proto,
            view,
            feed,
            tensors=calibrate.observed_tensors(view, plan),
            model_name=Path(os.path.relpath(model, path.parent)).as_posix(),
            calibrator=calibrator,
            progress=step,
        )
    if plan is not None:
        calibrate.require_observed(plan, statistics)
    statistics.save(path)
    render.diagnostics(err, feed.skipped)
    seen = sum(t.range.count for t in statistics.tensors.values())
    out.print(
        f"{path}: {len(statistics.tensors)} tensors, {statistics.samples} samples, "
        f"{seen / 1e6:,.0f} million values"
    )
    if as_json:
        options.print_json(
            {
                "output": str(path),
                "samples": statistics.samples,
                "tensors": len(statistics.tensors),
                "values": seen,
                "digest": statistics.digest,
                "diagnostics": [render.diagnostic_dict(d) for d in feed.skipped],
            }
        )
