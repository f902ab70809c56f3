"""Where a Q/DQ model comes from: its ranges, and the calibration and the plan that made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto, helper

from onnxq import shipped
from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import OnnxqError
from onnxq.formats import type_name
from onnxq.insertion.provenance import recipe_name
from onnxq.linting import Expected, QdqModel, predict_op
from onnxq.model.graph import Graph, Node
from onnxq.model.pairs import QUANTIZE, is_pair_node
from onnxq.model.products import macs, runs_once
from onnxq.model.scopes import nodes
from onnxq.planning import cascade, plan_file, recipe
from onnxq.planning.plan import Plan
from onnxq.planning.recipe import Recipe
from onnxq.verification.shapes import Shapes
from onnxq.verification.subjects import FloatSubject, QdqSubject

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
    """The range of the pair of one activation; `node` is its QuantizeLinear.

    `tensor` is the name in the float model if that has the tensor. `amax` is the largest magnitude
    that is not clipped; None when the scale is not a single known number.
    """

    tensor: str
    node: str
    dtype: str
    amax: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One weighted op of the file, with the precision that lint predicts, and why.

    `macs` is None when the shapes are unknown, or the number of runs in a Loop or Scan is.
    """

    node: str
    op: str
    expected: Expected
    reason: str
    macs: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origin:
    """One Q/DQ model: its ranges and products in node order, its calibration and its plan.

    `calibration` and `plan` are None if unknown; `why_no_calibration` and `why_no_plan` then say
    why, and which option would supply them.
    """

    ranges: tuple[Range, ...]
    products: tuple[Product, ...]
    calibration: Statistics | None = None
    why_no_calibration: str = ""
    plan: Plan | None = None
    why_no_plan: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSources:
    """Candidates for the plan of a model: recipes and saved plans; or the one carried out."""

    recipes: tuple[Recipe, ...] = ()
    plans: tuple[Path, ...] = ()
    plan: Plan | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that they were read from, or will be."""
        return (*(file for recipe in self.recipes for file in recipe.files), *self.plans)

    @property
    def are_named(self) -> bool:
        """True when a recipe or a saved plan was named."""
        return bool(self.recipes or self.plans)


@dataclass(frozen=True, kw_only=True, eq=False)
class Lineage:
    """The models of a report, and the candidates for their plans."""

    float_model: FloatSubject
    qdq: tuple[QdqSubject, ...]
    sources: PlanSources = PlanSources()

    @cached_property
    def origins(self) -> tuple[Origin, ...]:
        """The origin of each Q/DQ model, in order; OQ212 for a saved plan of another model."""
        return tuple(origin(self.float_model, subject, self.sources) for subject in self.qdq)


def origin(float_model: FloatSubject, subject: QdqSubject, sources: PlanSources) -> Origin:
    """Find the calibration and the plan of a Q/DQ model.

    The plan is the one among `sources`, or of the shipped recipe with the recorded name, whose
    digest the model records. Raises OQ212 for a saved plan of another model.
    """
    calibration = subject.calibration
    shapes = {} if calibration is None else calibration.input_shapes
    plan = _plan(float_model, shapes, subject.made_by, sources)
    missing = subject.calibration_problem or "the calibration was not found; name its file"
    return Origin(
        ranges=tuple(_ranges(subject.model, _tensors(float_model.prepared))),
        products=tuple(_products(subject.model, shapes)),
        calibration=calibration,
        why_no_calibration="" if calibration is not None else missing,
        plan=plan if isinstance(plan, Plan) else None,
        why_no_plan=plan if isinstance(plan, str) else "",
    )


def _plan(
    float_model: FloatSubject,
    shapes: Mapping[str, tuple[int, ...]],
    made_by: Mapping[str, str],
    sources: PlanSources,
) -> Plan | str:
    """The plan of a model, or why it is not known."""
    recorded, name = made_by.get("plan"), recipe_name(made_by)
    if not recorded:
        return "the model does not record a plan, as models of other tools do not"
    if sources.plan is not None:
        return sources.plan
    if float_model.problem is not None:
        return f"the float model cannot be planned: {float_model.problem.message}"
    graph = float_model.graph_with(shapes)
    plans = [plan_file.load(path, graph) for path in sources.plans]
    plans += [plan for candidate in _recipes(name, sources) if (plan := _planned(graph, candidate))]
    match = next((plan for plan in plans if plan.digest == recorded), None)
    if match is not None:
        return match
    return f"it was made by the recipe '{name}'; give that with --rules, or its plan with --plan"


def _recipes(name: str, sources: PlanSources) -> Iterator[Recipe]:
    yield from sources.recipes
    if name in shipped.recipes():
        with suppress(
            OnnxqError
        ):  # load by name, which the page shows; a file here may shadow it and fail
            yield recipe.load(name)


def _planned(graph: Graph, candidate: Recipe) -> Plan | None:
    try:
        return cascade.plan(graph, candidate)
    except OnnxqError:  # a recipe that does not fit the model did not make it
        return None


def _tensors(model: onnx.ModelProto) -> frozenset[str]:
    outputs = {name for _, node in nodes(model.graph) for name in node.output}
    return frozenset(outputs.union(port.name for port in model.graph.input))


def _ranges(model: QdqModel, float_tensors: frozenset[str]) -> Iterator[Range]:
    for node in model.graph.nodes:
        if is_pair_node(node, QUANTIZE) and not model.is_constant(node.inputs[0]):
            readers = [model.graph.by_name[e.node] for e in model.graph.consumers(node.outputs[0])]
            names = (node.inputs[0], *(out for n in readers for out in n.outputs))
            kind = _quantized_type(model, node)
            yield Range(
                tensor=next((n for n in names if n in float_tensors), node.inputs[0]),
                node=node.name,
                dtype=type_name(kind),
                amax=_amax(model, node, kind),
            )


def _quantized_type(model: QdqModel, quantize: Node) -> int:
    zero_point = model.zero_point(quantize)
    value = model.value(zero_point) if zero_point else None
    if value is not None:
        return int(helper.np_dtype_to_tensor_dtype(value.dtype))
    return model.graph.type(zero_point).dtype or TensorProto.UINT8  # ONNX's default


def _amax(model: QdqModel, quantize: Node, kind: int) -> float | None:
    scale, zero_point = model.scale(quantize), model.zero_point(quantize)
    zero = model.value(zero_point) if zero_point else None
    if scale is None or scale.size != 1 or kind not in _LIMITS or (zero_point and zero is None):
        return None
    offset = 0.0 if zero is None else float(zero.astype("float64").ravel()[0])
    low, high = _LIMITS[kind]
    return float(scale.ravel()[0]) * max(offset - low, high - offset)


def _products(model: QdqModel, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Product]:
    tensor_shapes = Shapes(model.named, model.graph, shapes)
    for node in model.product_nodes:
        prediction = predict_op(model, node)
        yield Product(
            node=node.name,
            op=node.op,
            expected=prediction.precision,
            reason=prediction.reason,
            macs=macs(tensor_shapes.sizes, node) if runs_once(model.graph, node) else None,
        )
