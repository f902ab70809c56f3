"""onnxq cache: TensorRT calibration caches from statistics, and statistics from caches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxq.cli import options
from onnxq.diagnostics import Diagnostic, error, warning

if TYPE_CHECKING:
    from onnxq.calibration.statistics import Statistics
    from onnxq.model.graph import Graph

HELP = "Read and write the INT8 calibration caches of TensorRT up to version 10."

app = typer.Typer(no_args_is_help=True, help=HELP)


@app.command(
    "import", epilog="Example: `onnxq cache import calib.cache --model model.onnx`, then `insert`"
)
def import_(
    file: Annotated[Path, typer.Argument(metavar="CACHE", help="A calibration cache of TensorRT.")],
    model: Annotated[
        Path, typer.Option("--model", help="The FP32 model it is for.", show_default=False)
    ],
    shape: options.Shape = None,
    output: options.Output = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn a TensorRT calibration cache into a calibration for `insert`, without any data.

    Its ranges are final: methods of recipes do not change them.
    """
    from onnxq import render
    from onnxq.calibration import cache as calibration_cache
    from onnxq.cli.calibrate import relative
    from onnxq.model import graph, ops
    from onnxq.model import io as models

    out, err = options.consoles(as_json=as_json, quiet=quiet)
    path = output or Path(f"{model.stem}.calib.npz")
    shapes = options.shapes(shape)
    cache = calibration_cache.read(file)
    proto, digest = options.read_model(model)
    options.output_path(path, model, *models.external_files(model), file)
    view = graph.Graph(proto, digest=digest, shapes=shapes)
    statistics = cache.statistics(
        view, model_name=relative(model, path.parent), input_shapes=shapes
    )
    strangers = cache.strangers(view)
    lacking = [name for name in ops.observable(view) if name not in statistics.tensors]
    statistics.save(path)
    found = _unmatched(strangers, lacking)
    render.diagnostics(err, found)
    out.print(f"{path}: {len(statistics.tensors)} ranges from {file} ({cache.header})")
    if as_json:
        options.print_json(
            {
                "output": str(path),
                "header": cache.header,
                "tensors": len(statistics.tensors),
                "not_in_the_model": list(strangers),
                "not_in_the_cache": lacking,
                "digest": statistics.digest,
                "diagnostics": [render.diagnostic_dict(d) for d in found],
            }
        )


@app.command(epilog="Example: `onnxq cache export model.calib.npz --rules yolo --tensorrt 8.6.1`")
def export(
    calibration: Annotated[Path, typer.Argument(metavar="CALIBRATION", help="A calibration.")],
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", help="The FP32 model; by default the calibration's.", show_default=False
        ),
    ] = None,
    rules: options.MaybeRules = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="max|mse|entropy|percentile(P)",
            help="Write every observed tensor by this method, without a recipe.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        str,
        typer.Option("--tensorrt", metavar="VERSION", help="The TensorRT that will read it."),
    ] = "10.3.0",
    output: options.Output = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a cache that TensorRT up to 10 builds implicit INT8 from, without calibrating.

    It holds the scales that `insert` would write: of the tensors that the recipe quantizes, so
    that TensorRT has no range for the others.
    """
    from onnxq import render
    from onnxq.calibration import cache as calibration_cache
    from onnxq.calibration.statistics import Statistics
    from onnxq.cli.insert import model_of
    from onnxq.model import graph
    from onnxq.model import io as models

    out, err = options.consoles(as_json=as_json, quiet=quiet)
    if rules is not None and method is not None:
        raise error("OQ217", "--method and --rules exclude each other", fix="give one of them")
    header = _header(version)
    statistics = Statistics.load(calibration)
    source, proto, digest = model_of(model, calibration, statistics)
    path = output or Path(f"{source.stem}.calib.cache")
    options.output_path(path, source, *models.external_files(source), calibration)
    view = graph.Graph(proto, digest=digest, shapes=statistics.input_shapes)
    if method is None:
        scales, found = _by_recipe(view, statistics, rules or "trt-int8")
    else:
        scales, found = _by_method(view, statistics, method)
    calibration_cache.write(path, scales, header)
    render.diagnostics(err, found)
    out.print(f"{path}: {len(scales)} scales, {header}")
    if as_json:
        options.print_json(
            {
                "output": str(path),
                "header": header,
                "scales": dict(scales),
                "diagnostics": [render.diagnostic_dict(d) for d in found],
            }
        )


def _unmatched(strangers: Sequence[str], lacking: Sequence[str]) -> list[Diagnostic]:
    found = []
    if strangers:
        told = f"names of the cache that the model does not have ({len(strangers)}): "
        fix = "nothing to do if TensorRT made these tensors itself; else check the model"
        found.append(warning("OQ452", told + _some(strangers), fix=fix))
    if lacking:
        told = f"tensors that could be quantized and are not in the cache ({len(lacking)}): "
        fix = "let the recipe leave them in float, or calibrate with data"
        found.append(warning("OQ453", told + _some(lacking), fix=fix))
    return found


def _some(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more (--json has all)" if len(names) > most else ""
    return ", ".join(f"'{name}'" for name in names[:most]) + more


def _header(version: str) -> str:
    from onnxq.calibration import cache as calibration_cache

    try:
        return calibration_cache.header_of(version)
    except ValueError as reason:
        raise error(
            "OQ456", f"--tensorrt: {reason}", fix="give its version, such as 8.6.1 or 10.3.0"
        ) from None


def _by_recipe(
    view: Graph, statistics: Statistics, rules: str
) -> tuple[Mapping[str, float], tuple[Diagnostic, ...]]:
    """The scales of the activations that a recipe quantizes, in graph order (OQ455)."""
    from dataclasses import replace

    from onnxq.insertion.scales import compute_scales
    from onnxq.planning import cascade, recipe

    plan = cascade.plan(view, recipe.load(rules))
    pairs = tuple(p for p in plan.pairs if p.kind == "activation")
    other = next((p for p in pairs if p.descriptor.dtype != "int8"), None)
    if other is not None:
        raise error(
            "OQ455",
            f"a cache is for INT8, and the recipe quantizes '{other.tensor}' to "
            f"{other.descriptor.dtype}",
            fix="use a recipe for INT8; FP8 needs pairs in the model, which 'insert' writes",
        )
    computed = compute_scales(view, replace(plan, pairs=pairs), statistics)
    scales: dict[str, float] = {}
    for pair in pairs:
        scale = float(computed[pair])
        if scales.setdefault(pair.tensor, scale) != scale:
            raise error(
                "OQ455",
                f"the recipe gives two scales to '{pair.tensor}', and a cache has room for one",
                fix="give its readers one descriptor, or use --method instead of --rules",
            )
    return scales, (*plan.diagnostics, *computed.diagnostics)


def _by_method(
    view: Graph, statistics: Statistics, method: str
) -> tuple[Mapping[str, float], tuple[Diagnostic, ...]]:
    """The scales of all tensors of a calibration, in graph order."""
    import numpy as np

    from onnxq.descriptor import QuantDescriptor
    from onnxq.insertion.scales import odd
    from onnxq.tensor_quant import scale_of

    try:
        descriptor = QuantDescriptor.parse(f"int8:per_tensor:{method}")
    except ValueError:
        raise error(
            "OQ456",
            f"there is no method '{method}'",
            fix="use max, mse, entropy, percentile or percentile(99.99)",
        ) from None
    names = (*view.inputs, *(name for node in view.nodes for name in node.outputs))
    scales: dict[str, float] = {}
    found: list[Diagnostic] = []
    for name in dict.fromkeys(names):
        if name in statistics.tensors:
            seen = statistics.tensors[name]
            amax = np.asarray(seen.amax(descriptor, tensor=name), np.float32)
            scales[name] = float(scale_of(amax))
            found += odd(name, amax, seen.range)
    return scales, tuple(found)
