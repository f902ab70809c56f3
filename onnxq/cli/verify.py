"""onnxq verify: lint, compare and compile a Q/DQ model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxq.cli import checking, options, page, recorded, shapes
from onnxq.cli import data as datasets
from onnxq.cli.screen import QuietScreen
from onnxq.diagnostics import Severity, error

if TYPE_CHECKING:
    from onnx import ModelProto

HELP = "Check Q/DQ models: what TensorRT asks of them, their accuracy, and what it compiles."
EXAMPLE = "Example: `onnxq verify model.onnx model.qdq.onnx --data imgs/ --min-sqnr 20`"


def run(
    model: options.FloatModel,
    qdq: Annotated[
        list[Path], typer.Argument(metavar="QDQ", help="Q/DQ models made of it, by any tool.")
    ],
    *,
    data: options.MaybeData = None,
    preprocess: options.PreprocessAgain = None,
    screen: QuietScreen,
    shape: options.Profiles = None,
    selection: options.Selection,
    calibration: options.UsedCalibration = None,
    checks: options.Checks,
    rules: options.PageRules = None,
    plan: options.PagePlans = None,
) -> None:
    """Print the report; exit 1 when a check says no."""
    from onnxq.model.graph import Graph
    from onnxq.verification import Unused

    profiles = shapes.profiles(shape)
    sizes = shapes.usual(profiles)
    view = Graph(_first_model(model, qdq), shapes=sizes)
    if checks.labels is not None and data is None:
        raise error("OQ651", "--labels has nothing to say without --data", fix="give both")
    prepared = checking.prepare(checks, profiles, view.outputs)
    sources = page.sources(checks.html, rules, plan, read=(model, *qdq))
    calibrations = recorded.calibrations(qdq, calibration)
    calibrated = recorded.shapes_of(calibrations)
    feed = None
    if data is not None:
        request = datasets.request(
            data,
            preprocess,
            sizes,
            selection,
            recorded="" if preprocess else recorded.preprocess_of(qdq),
            calibrated=calibrated,
        )
        feed = request.open(view)
        datasets.tell(screen, feed, preprocess, recorded=request.otherwise is not None)
    subject = page.Subject(
        model=model, qdq=qdq, calibrations=calibrations, sources=sources, shapes=calibrated
    )
    samples = None if feed is None else Unused(feed, calibrations)
    report, found = prepared.run(screen, subject, samples, feed)
    prepared.tell(screen, report, found)
    screen.result(report.to_dict(), found)
    if any(d.severity is Severity.ERROR for d in found):
        raise typer.Exit(1)


def _pairs(model: ModelProto) -> int:
    """How many Q/DQ nodes a model has."""
    from onnxq.model.pairs import is_pair_op
    from onnxq.model.scopes import nodes

    return sum(is_pair_op(node) for _, node in nodes(model.graph))


def _first_model(path: Path, others: list[Path]) -> ModelProto:
    """The model to compare with: float, or with fewer pairs than every other (OQ603)."""
    from onnxq.model import io as models
    from onnxq.model.ops import is_integer_op, type_of
    from onnxq.model.scopes import nodes

    proto = models.name_nodes(models.load(path))
    pairs = _pairs(proto)
    if any(is_integer_op(type_of(n)) for _, n in nodes(proto.graph)) or (
        pairs and any(pairs >= _pairs(models.load(other)) for other in others)
    ):
        raise error(
            "OQ603",
            f"the first model, '{path}', is quantized",
            fix="give the float model first and the Q/DQ model second",
        )
    return proto
