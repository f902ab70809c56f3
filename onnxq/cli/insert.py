"""onnxq insert: place Q/DQ pairs by rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxq.cli import options
from onnxq.diagnostics import OnnxqError, error, warning

if TYPE_CHECKING:
    from onnx import ModelProto
    from rich.console import Console

    from onnxq.calibration.statistics import Statistics
    from onnxq.diagnostics import Diagnostic
    from onnxq.insertion.half import FloatRest, IoTypes
    from onnxq.insertion.insert import Weights
    from onnxq.insertion.precision import FloatName
    from onnxq.insertion.raising import Raised
    from onnxq.model.graph import Graph
    from onnxq.planning.plan import Plan

HELP = "Place Q/DQ pairs where the rules say, with scales from a calibration."
EXAMPLE = "Example: `onnxq insert --rules yolo.yaml`, after `onnxq calibrate` in the same folder"


def run(
    model: Annotated[
        Path | None,
        typer.Argument(help="The FP32 model; by default the calibration's.", show_default=False),
    ] = None,
    rules: options.MaybeRules = None,
    plan_path: Annotated[
        Path | None,
        typer.Option("--plan", help="A saved plan, instead of --rules.", show_default=False),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            help="The calibration; by default the one in the working folder.",
            show_default=False,
        ),
    ] = None,
    existing: options.Existing = "refuse",
    output: options.Output = None,
    weights: options.Weights = "int8",
    float_type: options.Float = "fp32",
    io_types: options.IoTypes = "keep",
    strict: options.Strict = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the Q/DQ model to the working folder unless -o says else."""
    from onnxq import render
    from onnxq.insertion import insert
    from onnxq.model import graph
    from onnxq.model import io as models

    out, err = options.consoles(as_json=as_json, quiet=quiet)
    if rules is not None and plan_path is not None:
        raise error("OQ217", "--plan and --rules exclude each other", fix="give one of them")
    options.require_float(float_type, io_types)
    rules = rules or "trt-int8"
    plan_for = _planner(rules, plan_path)
    source, proto, digest, given = _read(model, calibration, existing)
    path = output or Path(f"{source.stem}.qdq.onnx")
    data = models.external_files(source)
    read = (source, *data, given.path, plan_path, Path(rules))
    options.output_path(path, *read)
    options.output_path(models.data_path(path), *read)
    statistics = given.statistics
    view = graph.Graph(proto, digest=digest, shapes=statistics.input_shapes)
    plan = plan_for(view)
    if given.missing is not None and plan.needs_data:
        raise given.missing
    if strict:
        options.refuse_warnings(plan.diagnostics)
    raised = options.compare_raised(
        source, existing, insert.with_types(proto, plan), statistics.input_shapes
    )
    written = write(
        path,
        proto,
        view,
        plan,
        statistics,
        weights=weights,
        float_type=float_type,
        io_types=io_types,
        external=bool(data),
    )
    diagnostics = (
        *_unreal(given, float_type),
        *plan.diagnostics,
        *written.diagnostics,
        *(raised.diagnostics if raised else ()),
    )
    render.diagnostics(err, diagnostics)
    tell(out, path, view, plan, given.path, written, raised)
    if statistics.calibrator == "cache":
        out.print(
            "activation ranges are those of an imported TensorRT cache: "
            "methods of the recipe do not change them"
        )
    if as_json:
        told = [render.diagnostic_dict(d) for d in diagnostics]
        options.print_json(
            {
                "output": str(path),
                "model": str(source),
                "calibration": None if given.path is None else str(given.path),
                "calibrator": None if given.path is None else statistics.calibrator,
                **to_dict(view, plan, written, raised),
                "diagnostics": told,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """The statistics of a calibration file; where none fits they are empty, `missing` says why."""

    path: Path | None
    statistics: Statistics
    missing: OnnxqError | None = None


def _unreal(given: Calibrated, float_type: FloatName) -> list[Diagnostic]:
    """Say so when the scales come from no real data, or half precision is chosen without any."""
    if data := given.statistics.data:
        told = f"'{given.path}' holds no real data ({data}): the scales mean nothing"
        return [warning("OQ428", told, fix="calibrate with real data for a model that is used")]
    return without_ranges(float_type) if given.path is None else []


def without_ranges(float_type: FloatName) -> list[Diagnostic]:
    """OQ513 for half precision without a calibration."""
    if float_type == "fp32":
        return []
    told = f"without a calibration nobody knows which activations {float_type} cannot hold"
    return [warning("OQ513", told, fix="calibrate, or compare the outputs with 'onnxq verify'")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What is odd about a model, its float rest if that is half, and the opset raised for that."""

    diagnostics: tuple[Diagnostic, ...]
    rest: FloatRest | None = None
    raised: Raised | None = None


def write(
    path: Path,
    proto: ModelProto,
    view: Graph,
    plan: Plan,
    statistics: Statistics,
    *,
    weights: Weights,
    float_type: FloatName,
    io_types: IoTypes,
    external: bool,
) -> Written:
    """Write the Q/DQ model, its data external or not."""
    from onnxq.insertion import half, insert, precision, provenance, raising, scales
    from onnxq.model import io as models

    computed = scales.compute_scales(view, plan, statistics)
    metadata = {**provenance.provenance(plan, statistics), "float": float_type}
    if float_type == "fp32":
        made = insert.insert(proto, plan, computed, weights=weights, metadata=metadata)
        models.save(made, path, external=external)
        return Written(diagnostics=computed.diagnostics)
    to = precision.HALF[float_type]
    choice = precision.choose(view, plan, statistics, to)
    held = precision.held(computed, view, choice, to)
    made = insert.insert(proto, plan, held, weights=weights, metadata=metadata)
    higher = models.raised(made, to.opset, path)
    raised = raising.compare_raised(made, higher, statistics.input_shapes, purpose=float_type)
    made, rest = half.lower(higher, to, kept=choice.kept, io_types=io_types)
    models.save(made, path, external=external)
    odd = raised.diagnostics if raised else ()
    return Written(
        diagnostics=(*computed.diagnostics, *choice.diagnostics, *odd), rest=rest, raised=raised
    )


def tell(
    out: Console,
    path: Path,
    view: Graph,
    plan: Plan,
    calibration: Path | None,
    written: Written,
    raised: Raised | None,
) -> None:
    """Print what was placed, by which rules, what is in half, and what raising the opset did."""
    from onnxq import render

    render.plan_summary(out, plan, view)
    if written.rest is not None:
        render.float_rest(out, written.rest)
    for done in filter(None, (raised, written.raised)):
        out.print(str(done))
    made_with = f"calibration {calibration}" if calibration else "which needs no calibration"
    out.print(f"{path}: recipe {plan.recipe}, {made_with}")


def to_dict(view: Graph, plan: Plan, written: Written, raised: Raised | None) -> dict[str, Any]:
    """What `tell` prints, for JSON."""
    from dataclasses import asdict

    from onnxq import render

    return {
        **render.plan_counts(plan, view),
        "raised": raised.to_dict() if raised else None,
        "unmatched_rules": list(plan.unmatched),
        "rules": {rule: dict(n) for rule, n in render.plan_by_rule(plan).items()},
        "float_rest": None if written.rest is None else asdict(written.rest),
        "raised_for_float": written.raised.to_dict() if written.raised else None,
    }


def _planner(rules: str, plan_path: Path | None) -> Callable[[Graph], Plan]:
    """How the plan is made; the recipe is read at once, before the model."""
    from onnxq.planning import cascade, plan_file, recipe

    if plan_path is not None:
        return lambda view: plan_file.load(plan_path, view)
    compiled = recipe.load(rules)
    return lambda view: cascade.plan(view, compiled)


def _read(
    model: Path | None, calibration: Path | None, existing: options.ExistingPairs
) -> tuple[Path, ModelProto, str, Calibrated]:
    """The model's path, the model, its digest, and the calibration that was named or fits it."""
    try:
        found, statistics = find_calibration(model, calibration, existing)
        source, proto, digest = model_of(model, found, statistics, existing)
    except OnnxqError as reason:
        fits = reason.diagnostics[0].code not in ("OQ410", "OQ411")
        if model is None or calibration is not None or fits:
            raise
        proto, digest = options.read_model(model, existing)
        return model, proto, digest, uncalibrated(model, digest, reason)
    return source, proto, digest, Calibrated(path=found, statistics=statistics)


def uncalibrated(model: Path, digest: str, missing: OnnxqError | None = None) -> Calibrated:
    """No statistics of a model."""
    from onnxq.calibration.statistics import Statistics

    empty = Statistics(model_name=model.name, model_digest=digest, calibrator="histogram")
    return Calibrated(path=None, statistics=empty, missing=missing)


def find_calibration(
    model: Path | None, given: Path | None, existing: options.ExistingPairs = "refuse"
) -> tuple[Path, Statistics]:
    """The calibration given, else the only one of the working folder (OQ410)."""
    from onnxq.calibration.statistics import Statistics

    if given is not None:
        return given, Statistics.load(given)
    files = sorted(Path().glob("*.calib.npz"))
    if not files:
        raise error(
            "OQ410",
            "there is no calibration (*.calib.npz) in this folder",
            fix="run 'onnxq calibrate MODEL --data FOLDER' first, or give --calibration",
        )
    if len(files) > 1 and model is not None:
        digest = options.digest(model, existing)
        files = [f for f in files if _digest_of(f) == digest] or files
    if len(files) > 1:
        names = ", ".join(str(f) for f in files)
        raise error(
            "OQ410", f"there are several calibrations: {names}", fix="choose with --calibration"
        )
    return files[0], Statistics.load(files[0])


def _digest_of(file: Path) -> str | None:
    from onnxq.calibration.statistics import Statistics

    try:
        return Statistics.load(file).model_digest
    except OnnxqError:  # a damaged file beside is no reason to fail: it is not chosen
        return None


def model_of(
    model: Path | None,
    found: Path,
    statistics: Statistics,
    existing: options.ExistingPairs = "refuse",
) -> tuple[Path, ModelProto, str]:
    """The model that a calibration was made from, as `options.read_model` reads it (OQ411)."""
    source = model or _named_model(found, statistics)
    proto, digest = options.read_model(source, existing)
    if digest != statistics.model_digest:
        imported = statistics.calibrator == "cache"
        again = (
            f"cache import CACHE --model {source}" if imported else f"calibrate {source} --data ..."
        )
        raise error(
            "OQ411",
            f"'{found}' was made from another model than '{source}'",
            fix=f"run 'onnxq {again}' again",
        )
    return source, proto, digest


def _named_model(found: Path, statistics: Statistics) -> Path:
    """The model that a calibration names: from the calibration's folder, else by name here."""
    named = found.parent / statistics.model_name
    choices = (named, found.parent / named.name, Path(named.name))
    for path in choices:
        if path.is_file():
            return path
    raise error(
        "OQ301",
        f"the model of '{found}' is not at '{named}' any more",
        fix="give it: onnxq insert MODEL --rules ...",
    )
