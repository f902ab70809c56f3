"""onnxq verify: lint, compare and compile a Q/DQ model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxq.cli import options, recorded, web_page
from onnxq.cli.progress import progress
from onnxq.diagnostics import Severity, error

if TYPE_CHECKING:
    from onnx import ModelProto


HELP = "Check a Q/DQ model: its contract, its numbers, and what TensorRT makes of it."
EXAMPLE = "Example: `onnxq verify model.onnx model.qdq.onnx --data imgs/ --min-sqnr 20`"


def run(
    model: Annotated[Path, typer.Argument(help="The FP32 model.", show_default=False)],
    qdq: Annotated[
        list[Path],
        typer.Argument(help="Q/DQ models made of it, from any tool.", show_default=False),
    ],
    data: options.MaybeData = None,
    preprocess_name: options.PreprocessName = None,
    shape: options.Profiles = None,
    samples: options.Samples = None,
    seed: options.Seed = None,
    batch: options.Batch = None,
    ragged: options.Ragged = False,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            help="What the models were calibrated with, to compare on other samples; "
            "by default the one beside a model that fits it.",
            show_default=False,
            rich_help_panel="Data",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="CSV",
            help="File name and class of each sample: top-1 and top-5 of a classifier.",
            show_default=False,
            rich_help_panel="Data",
        ),
    ] = None,
    tensors: Annotated[
        bool,
        typer.Option("--tensors", help="Compare every pair and weighted op too."),
    ] = False,
    backend: options.Backend = "auto",
    target: options.Target = None,
    min_sqnr: options.MinSqnr = None,
    min_cosine: options.MinCosine = None,
    min_int8: options.MinInt8 = None,
    fp32_engine: options.Fp32Engine = False,
    timeout: options.Timeout = 600.0,
    html: web_page.Html = None,
    rules: web_page.Rules = None,
    plan: web_page.Plans = None,
    everything: Annotated[bool, typer.Option("--all", help="Cut no list.")] = False,
    no_cache: options.NoCache = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print the report; exit 1 when a check says no."""
    from onnxq import render
    from onnxq import verify as verifying
    from onnxq.model import graph
    from onnxq.verify import Unused, thresholds
    from onnxq.verify.labels import load as read_labels

    out, err = options.consoles(as_json=as_json, quiet=quiet)
    profiles = options.profiles(shape)
    shapes = {name: profile.opt for name, profile in profiles.items()}
    compiling = verifying.CompileOptions(
        profiles=profiles,
        targets=options.targets(target),
        timeout=timeout,
        cache=not no_cache,
    )
    view = graph.Graph(_first_model(model, qdq), shapes=shapes)
    least = thresholds.parse(
        view.outputs, sqnr=min_sqnr or (), cosine=min_cosine or (), int8=min_int8
    )
    sources = web_page.sources(html, rules, plan, read=(model, *qdq))
    if labels is not None and data is None:
        raise error("OQ651", "--labels has nothing to say without --data", fix="give both")
    known_labels = None if labels is None else read_labels(labels)
    calibrations = recorded.calibrations(qdq, calibration)
    calibrated = recorded.shapes_of(calibrations)
    feed = None
    if data is not None:
        request = options.data_request(
            data,
            preprocess_name,
            shapes,
            samples=samples,
            seed=seed,
            batch=batch,
            ragged=ragged,
            recorded="" if preprocess_name else recorded.preprocess_of(qdq),
            calibrated=calibrated,
        )
        feed = request.open(view)
        options.tell_data(out, feed, preprocess_name, recorded=request.otherwise is not None)
    unused = None if feed is None else Unused(feed, calibrations)
    total = None if unused is None else unused.length
    with progress(err, "comparing", total, quiet=quiet or as_json) as step:
        report = verifying.verify(
            model,
            qdq,
            unused,
            tensors=tensors,
            labels=known_labels,
            backend=backend,
            shapes=calibrated if feed is None else None,
            compiling=compiling,
            fp32_engine=fp32_engine,
            progress=lambda done: step(),
        )
    refused = thresholds.refusals(report, least)
    found = (*(feed.warnings if feed else ()), *report.diagnostics, *refused)
    if html is not None:
        found += web_page.write(html, report, calibrations, sources, least, found)
    render.diagnostics(err, found, everything=everything)
    render.verify_report(out, report, everything=everything)
    if html is not None:
        out.print(f"page: {html}")
    if as_json:
        options.print_json(
            {**report.to_dict(), "diagnostics": [render.diagnostic_dict(d) for d in found]}
        )
    if any(d.severity is Severity.ERROR for d in found):
        raise typer.Exit(1)


def _first_model(path: Path, others: list[Path]) -> ModelProto:
    """The model to compare with: float, or with fewer pairs than every other (OQ603)."""
    from onnxq.model import io as models

    proto = models.name_nodes(models.load(path))
    pairs = sum(map(models.is_pair_op, proto.graph.node))
    if any(map(models.is_integer_op, proto.graph.node)) or (
        pairs
        and any(
            pairs >= sum(map(models.is_pair_op, models.load(other).graph.node)) for other in others
        )
    ):
        raise error(
            "OQ603",
            f"the first model, '{path}', is quantized",
            fix="give the float model first and the Q/DQ model second",
        )
    return proto
