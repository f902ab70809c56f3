"""onnxq calibrate: gather activation statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from onnxq.cli import data as datasets
from onnxq.cli import gathering, long_runs, options, paths, shapes
from onnxq.cli.screen import QuietScreen

HELP = "Run the model over samples and write what values its activations take."
EXAMPLE = "Example: `onnxq calibrate model.onnx --data imgs/ --preprocess yolo`"


def run(
    model: options.FloatModel,
    *,
    data: options.Data,
    preprocess: options.Preprocess = None,
    output: Annotated[Path | None, options.output("MODEL.calib.npz")] = None,
    screen: QuietScreen,
    shape: options.Shape = None,
    selection: options.Selection,
    rules: options.ObservedRules = None,
    calibrator: options.Calibrator = "histogram",
    float_type: options.CalibratedFloat = "fp32",
    existing: options.Existing = "refuse",
    shard: options.Shard = None,
    long_run: options.LongRun,
) -> None:
    """Write the statistics."""
    from onnxq import render
    from onnxq.model import source
    from onnxq.model.graph import Graph
    from onnxq.planning import cascade, recipe

    part = long_runs.shard(shard)
    long_runs.require_alone(long_run, part)
    settings = gathering.settings(calibrator, long_run)
    sizes = shapes.fixed(shape)
    path = output or Path(f"{model.stem}{long_runs.suffix(part)}.calib.npz")
    read = source.read(model, existing)
    request = datasets.request(data, preprocess, sizes, selection)
    files = (*read.files, request.path, None if rules is None else Path(rules))
    paths.output(path, files)
    view = Graph(read.model, digest=read.digest, shapes=sizes)
    plan = cascade.plan(view, recipe.load(rules)) if rules else None
    tensors = gathering.observed(read, view, plan)
    feed = request.open(view).part(*part)
    datasets.tell(screen, feed, preprocess)
    statistics, told = gathering.Gathering(
        source=read,
        view=view,
        tensors=tensors,
        plan=plan,
        request=request,
        feed=feed,
        settings=settings,
        float_type=float_type,
        long_run=long_run,
        shard=shard,
        path=path,
        read=files,
    ).run(screen)
    found = (*read.diagnostics, *(plan.diagnostics if plan else ()), *told)
    screen.tell(found)
    render.gathered(screen.out, path, statistics)
    screen.result(render.gathered_dict(path, statistics), found)
