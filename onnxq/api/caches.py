"""TensorRT calibration caches: statistics from a cache, and a cache from statistics."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxq.api.data import Shapes
from onnxq.api.planning import RECIPE, plan_files
from onnxq.api.requirements import require_calibration_of
from onnxq.calibration import cache as caches
from onnxq.calibration.statistics import Statistics
from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import Diagnostic, error, warning
from onnxq.insertion.scales import compute_scales, odd
from onnxq.model.graph import Graph
from onnxq.model.loading import Model, load
from onnxq.model.observed import observable
from onnxq.outputs import require_writable
from onnxq.planning import cascade
from onnxq.planning import recipe as recipes
from onnxq.planning.recipe import Recipe
from onnxq.quantization import scale_of
from onnxq.shown import Shown


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ImportedCache(Shown):
    """Statistics with the ranges of a cache, and what cache and model do not share."""

    source: Path
    header: str
    statistics: Statistics
    not_in_the_model: tuple[str, ...]
    not_in_the_cache: tuple[str, ...]

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """OQ452 for names that the model does not have, OQ453 for tensors without a range."""
        return self.statistics.diagnostics

    def to_dict(self) -> dict[str, Any]:
        """The counts, the names that do not match, and the diagnostics."""
        path = self.statistics.path
        return {
            "output": None if path is None else str(path),
            "header": self.header,
            "tensors": len(self.statistics.tensors),
            "not_in_the_model": list(self.not_in_the_model),
            "not_in_the_cache": list(self.not_in_the_cache),
            "digest": self.statistics.digest,
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }


def import_cache(
    path: str | Path,
    model: str | Path | ModelProto | Model,
    *,
    shapes: Shapes | None = None,
    output: str | Path | None = None,
) -> ImportedCache:
    """Turn a TensorRT calibration cache into statistics of a model, without any data.

    The ranges are final: methods of recipes do not change them. `output` is the file to write;
    OQ502 where a calibration made from data is. Raises OQ450 and OQ451 for the cache.
    """
    source = Path(path)
    cache = caches.read(source)
    model = load(model, shapes=shapes)
    target = None if output is None else Path(output)
    require_writable({"the output": target}, (*model.files, source))
    if target is not None and os.path.exists(target) and not Statistics.load(target).is_imported:
        message = f"'{target}' is a calibration made from data"
        raise error("OQ502", message, fix="write to another file, or remove it")
    graph = model.graph
    statistics = cache.statistics(graph, model_path=model.path, input_shapes=model.shapes)
    strangers = tuple(cache.strangers(graph))
    lacking = tuple(name for name in observable(graph) if name not in statistics.tensors)
    statistics = replace(statistics, diagnostics=tuple(_unmatched(strangers, lacking)))
    return ImportedCache(
        source=source,
        header=cache.header,
        statistics=statistics if target is None else statistics.save(target),
        not_in_the_model=strangers,
        not_in_the_cache=lacking,
    )


def _unmatched(strangers: Sequence[str], lacking: Sequence[str]) -> list[Diagnostic]:
    warnings = []
    if strangers:
        message = f"names of the cache that the model does not have ({len(strangers)}): "
        fix = "nothing to do if TensorRT made these tensors itself; else check the model"
        warnings.append(warning("OQ452", message + _some(strangers), fix=fix))
    if lacking:
        message = f"tensors that could be quantized and are not in the cache ({len(lacking)}): "
        fix = "let the recipe leave them in float, or calibrate with data"
        warnings.append(warning("OQ453", message + _some(lacking), fix=fix))
    return warnings


def _some(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more (--json has all)" if len(names) > most else ""
    return ", ".join(f"'{name}'" for name in names[:most]) + more


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ExportedCache(Shown):
    """The scales of a calibration cache, by tensor; `path` is the file, once it is written."""

    header: str
    scales: Mapping[str, float]
    diagnostics: tuple[Diagnostic, ...]
    path: Path | None = None
    inputs: tuple[Path | None, ...] = ()

    def save(self, path: str | Path) -> ExportedCache:
        """Write the cache whole or not at all (OQ501), and never over its `inputs` (OQ502)."""
        path = Path(path)
        require_writable({"the output": path}, self.inputs)
        caches.write(path, self.scales, self.header)
        return replace(self, path=path)

    def to_dict(self) -> dict[str, Any]:
        """The scales and the diagnostics."""
        return {
            "output": None if self.path is None else str(self.path),
            "header": self.header,
            "scales": dict(self.scales),
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }


def export_cache(
    calibration: Statistics | str | Path,
    model: str | Path | ModelProto | Model,
    *,
    recipe: str | Path | Recipe | None = None,
    method: str | None = None,
    tensorrt: str = "10.3.0",
    output: str | Path | None = None,
) -> ExportedCache:
    """Make a cache from which TensorRT up to 10 builds implicit INT8 without calibrating.

    It has the scales of the activations that `recipe` quantizes, so that TensorRT has no range for
    the others, or with `method` (such as "percentile(99.99)") those of all observed tensors.
    `tensorrt` is the version that will read it, `output` the file to write. Raises OQ217 when
    `recipe` and `method` are both given, OQ411 for a calibration of another model, OQ455 where a
    cache cannot hold what the recipe wants, OQ456 for a wrong method.
    """
    if recipe is not None and method is not None:
        raise error("OQ217", "--method and --rules exclude each other", fix="give one of them")
    header = _header(tensorrt)
    statistics = calibration if isinstance(calibration, Statistics) else None
    statistics = statistics or Statistics.load(Path(str(calibration)))
    model = load(model, shapes=statistics.input_shapes)
    require_calibration_of(model, statistics)
    path = None if output is None else Path(output)
    inputs = (*model.files, statistics.path, *plan_files(recipe or RECIPE))
    require_writable({"the output": path}, inputs)
    if method is None:
        scales, diagnostics = _by_recipe(model.graph, statistics, recipe or RECIPE)
    else:
        scales, diagnostics = _by_method(model.graph, statistics, method)
    exported = ExportedCache(header=header, scales=scales, diagnostics=diagnostics, inputs=inputs)
    return exported if path is None else exported.save(path)


def _header(version: str) -> str:
    try:
        return caches.header_of(version)
    except ValueError as reason:
        raise error(
            "OQ456", f"--tensorrt: {reason}", fix="give its version, such as 8.6.1 or 10.3.0"
        ) from None


def _by_recipe(
    graph: Graph, statistics: Statistics, recipe: str | Path | Recipe
) -> tuple[Mapping[str, float], tuple[Diagnostic, ...]]:
    """The scales of the activations that a recipe quantizes, in graph order (OQ455)."""
    plan = cascade.plan(graph, recipes.load(recipe))
    pairs = tuple(p for p in plan.pairs if p.kind == "activation")
    other = next((p for p in pairs if p.descriptor.dtype != "int8"), None)
    if other is not None:
        raise error(
            "OQ455",
            f"a cache is for INT8, and the recipe quantizes '{other.tensor}' to "
            f"{other.descriptor.dtype}",
            fix="use a recipe for INT8; FP8 needs pairs in the model, which 'insert' writes",
        )
    computed = compute_scales(graph, replace(plan, pairs=pairs), statistics)
    scales: dict[str, float] = {}
    for pair, values in computed.by_pair.items():
        scale = float(values)
        if scales.setdefault(pair.tensor, scale) != scale:
            raise error(
                "OQ455",
                f"the recipe gives two scales to '{pair.tensor}', and a cache has room for one",
                fix="give its readers one descriptor, and its ties no 'within'; or use --method",
            )
    return scales, (*plan.diagnostics, *computed.diagnostics)


def _by_method(
    graph: Graph, statistics: Statistics, method: str
) -> tuple[Mapping[str, float], tuple[Diagnostic, ...]]:
    """The scales of all tensors of a calibration, in graph order."""
    try:
        descriptor = QuantDescriptor.parse(f"int8:per_tensor:{method}")
        if descriptor.amax is not None:
            raise ValueError
    except ValueError:
        raise error(
            "OQ456",
            f"there is no method '{method}'",
            fix="use max, mse, entropy, adaptive, percentile or percentile(99.99)",
        ) from None
    names = (*graph.inputs, *(name for node in graph.nodes for name in node.outputs))
    scales: dict[str, float] = {}
    diagnostics: list[Diagnostic] = []
    for name in dict.fromkeys(names):
        if name in statistics.tensors:
            tensor = statistics.tensors[name]
            amax = np.asarray(tensor.amax(descriptor, tensor=name), np.float32)
            scales[name] = float(scale_of(amax))
            diagnostics += odd(name, amax, tensor.range)
    return scales, tuple(diagnostics)
