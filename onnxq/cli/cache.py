"""onnxq cache: TensorRT calibration caches from statistics, and statistics from caches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxq.cli import finding, options, paths, shapes
from onnxq.cli.grouped import grouped
from onnxq.cli.screen import QuietScreen
from onnxq.diagnostics import Diagnostic, error, warning

if TYPE_CHECKING:
    from onnxq.calibration.statistics import Statistics
    from onnxq.model.graph import Graph

HELP = "Read and write the INT8 calibration caches of TensorRT up to version 10."

app = typer.Typer(no_args_is_help=True, help=HELP)


@app.command(
    "import", epilog="Example: `onnxq cache import calib.cache --model model.onnx`, then `insert`"
)
@grouped
def import_(
    file: Annotated[Path, typer.Argument(metavar="CACHE", help="A calibration cache of TensorRT.")],
    *,
    model: Annotated[Path, options.option("--model FILE", "The FP32 model it is for.")],
    output: Annotated[Path | None, options.output("MODEL.calib.npz")] = None,
    screen: QuietScreen,
    shape: options.Shape = None,
) -> None:
    """Turn a TensorRT calibration cache into a calibration for `insert`, without any data.

    Its ranges are final: methods of recipes do not change them.
    """
    from onnxq.calibration import cache as calibration_cache
    from onnxq.model import node_inputs, source
    from onnxq.model.graph import Graph

    path = output or Path(f"{model.stem}.calib.npz")
    sizes = shapes.fixed(shape)
    cache = calibration_cache.read(file)
    read = source.read(model)
    paths.output(path, (*read.files, file))
    _keep_data(path)
    view = Graph(read.model, digest=read.digest, shapes=sizes)
    statistics = cache.statistics(
        view, model_name=paths.relative(model, path.parent), input_shapes=sizes
    )
    strangers = cache.strangers(view)
    lacking = [name for name in node_inputs.observable(view) if name not in statistics.tensors]
    statistics.save(path)
    found = _unmatched(strangers, lacking)
    screen.tell(found)
    screen.out.print(f"{path}: {len(statistics.tensors)} ranges from {file} ({cache.header})")
    screen.result(
        {
            "output": str(path),
            "header": cache.header,
            "tensors": len(statistics.tensors),
            "not_in_the_model": list(strangers),
            "not_in_the_cache": lacking,
            "digest": statistics.digest,
        },
        found,
    )


def _keep_data(path: Path) -> None:
    """Raise OQ502 where a calibration that took data lies: a cache knows less."""
    from onnxq.calibration.statistics import Statistics

    if path.exists() and Statistics.load(path).calibrator != "cache":
        raise error(
            "OQ502",
            f"'{path}' is a calibration made from data",
            fix="give another -o, or remove it",
        )


@app.command(epilog="Example: `onnxq cache export model.calib.npz --rules yolo --tensorrt 8.6.1`")
@grouped
def export(
    calibration: Annotated[Path, typer.Argument(metavar="CALIBRATION", help="A calibration.")],
    *,
    rules: options.MaybeRules = None,
    version: Annotated[
        str, options.option("--tensorrt VERSION", "The TensorRT that will read it.")
    ] = "10.3.0",
    output: Annotated[Path | None, options.output("MODEL.calib.cache")] = None,
    method: Annotated[
        str | None,
        options.option(
            "--method NAME",
            "Write every observed tensor by this method instead: max, mse, entropy, percentile "
            "or percentile(P).",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        options.option("--model FILE", "The FP32 model; by default the calibration's."),
    ] = None,
    screen: QuietScreen,
) -> None:
    """Write a cache that TensorRT up to 10 builds implicit INT8 from, without calibrating.

    It holds the scales that `insert` would write: of the tensors that the recipe quantizes, so
    that TensorRT has no range for the others.
    """
    from onnxq.calibration import cache as calibration_cache
    from onnxq.model.graph import Graph

    if rules is not None and method is not None:
        raise error("OQ217", "--method and --rules exclude each other", fix="give one of them")
    header = _header(version)
    _, statistics = finding.calibration(calibration)
    source = finding.model_of(calibration, statistics, model)
    path = output or Path(f"{source.path.stem}.calib.cache")
    paths.output(path, (*source.files, calibration))
    view = Graph(source.model, digest=source.digest, shapes=statistics.input_shapes)
    if method is None:
        scales, found = _by_recipe(view, statistics, rules or options.RECIPE)
    else:
        scales, found = _by_method(view, statistics, method)
    calibration_cache.write(path, scales, header)
    screen.tell(found)
    screen.out.print(f"{path}: {len(scales)} scales, {header}")
    screen.result({"output": str(path), "header": header, "scales": dict(scales)}, found)


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
    from onnxq.quantization import scale_of

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
