"""onnxq verify: lint, compare and compile a Q/DQ model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxq.cli import options
from onnxq.diagnostics import Diagnostic, Severity

if TYPE_CHECKING:
    from onnx import ModelProto
    from rich.console import Console

    from onnxq.feeds import Feed
    from onnxq.graph import Graph
    from onnxq.verify import VerifyReport

HELP = "Check a Q/DQ model: its contract, its numbers, and what TensorRT makes of it."
EXAMPLE = "Example: `onnxq verify model.onnx model.qdq.onnx --data imgs/ --min-sqnr 20`"


def run(
    model: Annotated[Path, typer.Argument(help="The FP32 model.", show_default=False)],
    qdq: Annotated[Path, typer.Argument(help="The Q/DQ model made of it.", show_default=False)],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Samples to compare on: a folder of pictures, or of .npy or .npz files.",
            show_default=False,
        ),
    ] = None,
    preprocess_name: options.PreprocessName = None,
    shape: options.Shape = None,
    backend: options.Backend = "auto",
    min_sqnr: options.MinSqnr = None,
    min_int8: options.MinInt8 = None,
    timeout: options.Timeout = 600.0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print the report; exit 1 when a check says no."""
    from onnxq import graph, render
    from onnxq import verify as verifying

    out, err = options.consoles(as_json=as_json, quiet=quiet)
    shapes = options.shapes(shape)
    view = graph.Graph(_float_model(model), shapes=shapes)
    feed = _feed(out, view, qdq, data, preprocess_name, shapes) if data else None
    with options.progress(err, "comparing", len(feed or ()), quiet=quiet or as_json) as step:
        report = verifying.verify(
            model,
            qdq,
            None if feed is None else (sample.tensors for sample in feed),
            backend=backend,
            shapes=shapes,
            timeout=timeout,
            progress=lambda done: step(),
        )
    refused = thresholds(report, min_sqnr, min_int8)
    found = (*(feed.skipped if feed else ()), *report.diagnostics, *refused)
    render.diagnostics(err, found)
    render.verify_report(out, report)
    if as_json:
        options.print_json(
            {**report.to_dict(), "diagnostics": [render.diagnostic_dict(d) for d in found]}
        )
    if any(d.severity is Severity.ERROR for d in found):
        raise typer.Exit(1)


def _float_model(path: Path) -> ModelProto:
    from onnxq import model as models
    from onnxq.diagnostics import error

    proto = models.name_nodes(models.load(path))
    if any(n.op_type in models.QUANTIZED_OPS for n in proto.graph.node):
        raise error(
            "OQ603",
            f"the first model, '{path}', is quantized",
            fix="give the float model first and the Q/DQ model second",
        )
    return proto


def _feed(
    out: Console,
    view: Graph,
    qdq: Path,
    data: Path,
    name: str | None,
    shapes: dict[str, tuple[int, ...]],
) -> Feed:
    """The data, preprocessed as said, else as the calibration that the model was made with."""
    from onnxq import feeds, preprocess, provenance
    from onnxq import model as models

    recorded = provenance.metadata_of(models.load(qdq)).get("preprocess")
    how = None
    if name is not None:
        how = preprocess.load(name)
    elif recorded:
        how = preprocess.from_json(recorded)
    feed = feeds.open_feed(data, view, shapes=shapes, how=how)
    options.tell_preprocess(out, feed, name or ("as calibrated" if recorded else None))
    return feed


def thresholds(
    report: VerifyReport, min_sqnr: float | None, min_int8: float | None
) -> list[Diagnostic]:
    """What the thresholds refuse; a figure that could not be had is below every threshold."""
    sqnr = report.numeric.sqnr_db if report.numeric else None
    int8 = report.compiled.int8_macs if report.compiled else None
    found = []
    for what, value, least, had_by, fix in (
        (
            "SQNR",
            sqnr,
            min_sqnr,
            "give --data",
            "skip what hurts most in the recipe, or try another method",
        ),
        (
            "share of MACs in int8",
            int8,
            min_int8,
            "install onnxq[rtx], and give --shape for dynamic sizes",
            "the report says why each op stayed in float",
        ),
    ):
        if least is not None and (value is None or not value >= least):
            told = "is not known" if value is None else f"is {value:.4g}"
            message = f"the {what} {told}, and at least {least:g} is asked for"
            cure = had_by if value is None else fix
            found.append(Diagnostic(code="OQ604", message=message, fix=cure))
    return found
