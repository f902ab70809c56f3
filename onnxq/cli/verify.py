"""onnxq verify: lint, compare and compile a Q/DQ model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxq.cli import options
from onnxq.diagnostics import Diagnostic, Severity

if TYPE_CHECKING:
    from onnx import ModelProto

    from onnxq.verify import VerifyReport

HELP = "Check a Q/DQ model: its contract, its numbers, and what TensorRT makes of it."
EXAMPLE = "Example: `onnxq verify model.onnx model.qdq.onnx --data imgs/ --min-sqnr 20`"


def run(
    model: Annotated[Path, typer.Argument(help="The FP32 model.", show_default=False)],
    qdq: Annotated[Path, typer.Argument(help="The Q/DQ model made of it.", show_default=False)],
    data: options.MaybeData = None,
    preprocess_name: options.PreprocessName = None,
    shape: options.Shape = None,
    samples: options.Samples = None,
    seed: options.Seed = None,
    batch: options.Batch = None,
    ragged: options.Ragged = False,
    backend: options.Backend = "auto",
    min_sqnr: options.MinSqnr = None,
    min_int8: options.MinInt8 = None,
    timeout: options.Timeout = 600.0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print the report; exit 1 when a check says no."""
    from onnxq import graph, provenance, render
    from onnxq import model as models
    from onnxq import verify as verifying

    out, err = options.consoles(as_json=as_json, quiet=quiet)
    shapes = options.shapes(shape)
    view = graph.Graph(_float_model(model), shapes=shapes)
    feed = None
    if data is not None:
        recorded = provenance.metadata_of(models.load(qdq)).get("preprocess", "")
        feed = options.data_request(
            data,
            preprocess_name,
            shapes,
            samples=samples,
            seed=seed,
            batch=batch,
            ragged=ragged,
            recorded=recorded,
        ).open(view)
        options.tell_data(out, feed, preprocess_name, recorded=bool(recorded))
    total = feed.length if feed else 0
    with options.progress(err, "comparing", total, quiet=quiet or as_json) as step:
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
    found = (*(feed.warnings if feed else ()), *report.diagnostics, *refused)
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
