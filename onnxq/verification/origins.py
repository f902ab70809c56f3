"""Where a Q/DQ model comes from: its ranges, and the calibration and the plan that made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto, helper

from onnxq import shipped
from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import OnnxqError
from onnxq.insertion.provenance import plan_digest, recipe_name
from onnxq.linting import Expected, QdqModel, predict_op
from onnxq.linting.qdq import QUANTIZE, is_pair_node
from onnxq.model import io as models
from onnxq.model.graph import Graph, Node
from onnxq.model.metadata import metadata_of
from onnxq.model.scopes import nodes
from onnxq.planning import cascade, plan_file, recipe
from onnxq.planning.plan import Plan
from onnxq.planning.recipe import Recipe
from onnxq.verification.macs import is_product, macs, runs_once
from onnxq.verification.shapes import Shapes

# The integers, or for fp8 the values, between which a quantized type lies.
_LIMITS: Final[Mapping[int, tuple[float, float]]] = {
    TensorProto.INT8: (-127, 127),  # -128 has no counterpart on the other side
    TensorProto.UINT8: (0, 255),
    TensorProto.INT16: (-32767, 32767),
    TensorProto.UINT16: (0, 65535),
    TensorProto.FLOAT8E4M3FN: (-448, 448),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What the pair of one activation represents, the QuantizeLinear `node`.

    `tensor` has the float model's name where it is known there. `amax` is the largest magnitude
    without clipping; None when the scale is not one known number.
    """

    tensor: str
    node: str
    dtype: str
    amax: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One weighted op as the file has it: what lint expects of it, and why.

    `macs` is None when its shapes are not known, or how often a Loop or Scan runs it.
    """

    node: str
    op: str
    expected: Expected
    reason: str
    macs: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origin:
    """One Q/DQ model: its pairs of activations and products in node order, and what made them.

    `calibration` and `plan` are None where they are not known; the other two fields then say why,
    and what would give them.
    """

    ranges: tuple[Range, ...]
    products: tuple[Product, ...]
    calibration: Statistics | None = None
    why_no_calibration: str = ""
    plan: Plan | None = None
    why_no_plan: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What may have made the models: recipes and saved plans that somebody named, and a plan."""

    recipes: tuple[Recipe, ...] = ()
    plans: tuple[Path, ...] = ()
    plan: Plan | None = None

    @property
    def named(self) -> bool:
        """Whether somebody named any."""
        return bool(self.recipes or self.plans)


def origin(
    float_path: str | Path,
    qdq_path: str | Path,
    calibration: Statistics | None,
    sources: Sources,
) -> Origin:
    """Read a Q/DQ model, and find the plan that it records among the sources.

    A recipe that ships with onnxq is found by its recorded name. A plan counts only when its digest
    is the recorded one. Raises OQ212 for a saved plan of another model.
    """
    qdq = models.load(qdq_path)
    read, made_by = QdqModel(qdq), metadata_of(qdq)
    usable = _usable(calibration, float_path, made_by)
    shapes = usable.input_shapes if isinstance(usable, Statistics) else {}
    float_model = models.load(float_path)
    plan = _plan(float_model, models.digest(float_path), shapes, made_by, sources)
    return Origin(
        ranges=tuple(_ranges(read, _tensors(float_model))),
        products=tuple(_products(read, shapes)),
        calibration=usable if isinstance(usable, Statistics) else None,
        why_no_calibration=usable if isinstance(usable, str) else "",
        plan=plan if isinstance(plan, Plan) else None,
        why_no_plan=plan if isinstance(plan, str) else "",
    )


def _usable(
    calibration: Statistics | None, float_path: str | Path, made_by: Mapping[str, str]
) -> Statistics | str:
    """The calibration, or why it says nothing of the model."""
    if calibration is None:
        return "the calibration was not found; --calibration FILE names it"
    if calibration.digest == made_by.get("statistics"):
        return calibration
    if calibration.model_digest != models.digest(float_path):
        return "the given calibration is one of another model; --calibration FILE names the right"
    return calibration


def _plan(
    float_model: onnx.ModelProto,
    digest: str,
    shapes: Mapping[str, tuple[int, ...]],
    made_by: Mapping[str, str],
    sources: Sources,
) -> Plan | str:
    """The plan that made a model, or why it is not known."""
    recorded, name = made_by.get("plan"), recipe_name(made_by)
    if not recorded:
        return "the model does not record a plan, as models of other tools do not"
    if sources.plan is not None and plan_digest(sources.plan) == recorded:
        return sources.plan
    try:
        graph = Graph(models.prepare(float_model), digest=digest, shapes=shapes)
    except OnnxqError as failed:
        return f"the float model cannot be planned: {failed.diagnostics[0].message}"
    found = [plan_file.load(path, graph) for path in sources.plans]
    found += [plan for made in _recipes(name, sources) if (plan := _planned(graph, made))]
    right = next((plan for plan in found if plan_digest(plan) == recorded), None)
    if right is not None:
        return right
    return f"it was made by the recipe '{name}'; --rules FILE or --plan FILE gives what that said"


def _recipes(name: str, sources: Sources) -> Iterator[Recipe]:
    yield from sources.recipes
    if name in shipped.recipes():
        with suppress(OnnxqError):  # by its name, under which it is shown; a file here may have it
            yield recipe.load(name)


def _planned(graph: Graph, made: Recipe) -> Plan | None:
    try:
        return cascade.plan(graph, made)
    except OnnxqError:  # a recipe that does not fit the model did not make it
        return None


def _tensors(model: onnx.ModelProto) -> frozenset[str]:
    made = {name for _, node in nodes(model.graph) for name in node.output}
    return frozenset(made.union(port.name for port in model.graph.input))


def _ranges(read: QdqModel, known: frozenset[str]) -> Iterator[Range]:
    for node in read.graph.nodes:
        if is_pair_node(node, QUANTIZE) and not read.is_constant(node.inputs[0]):
            behind = [read.graph.by_name[e.node] for e in read.graph.consumers(node.outputs[0])]
            names = (node.inputs[0], *(out for n in behind for out in n.outputs))
            kind = _quantized_type(read, node)
            yield Range(
                tensor=next((n for n in names if n in known), node.inputs[0]),
                node=node.name,
                dtype=TensorProto.DataType.Name(kind).lower(),
                amax=_amax(read, node, kind),
            )


def _quantized_type(read: QdqModel, quantize: Node) -> int:
    zero_point = read.zero_point(quantize)
    value = read.value(zero_point) if zero_point else None
    if value is not None:
        return int(helper.np_dtype_to_tensor_dtype(value.dtype))
    return read.graph.type(zero_point).dtype or TensorProto.UINT8  # ONNX's default


def _amax(read: QdqModel, quantize: Node, kind: int) -> float | None:
    scale, zero_point = read.scale(quantize), read.zero_point(quantize)
    zero = read.value(zero_point) if zero_point else None
    if scale is None or scale.size != 1 or kind not in _LIMITS or (zero_point and zero is None):
        return None
    offset = 0.0 if zero is None else float(zero.astype("float64").ravel()[0])
    low, high = _LIMITS[kind]
    return float(scale.ravel()[0]) * max(offset - low, high - offset)


def _products(read: QdqModel, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Product]:
    known = Shapes(read.named, shapes)
    for node in read.graph.nodes:
        if is_product(node):
            told = predict_op(read, node)
            yield Product(
                node=node.name,
                op=node.op,
                expected=told.precision,
                reason=told.reason,
                macs=macs(known.sizes, node) if runs_once(read.graph, node) else None,
            )
