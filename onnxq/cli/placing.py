"""The step of insert: from a plan and statistics to the file of a Q/DQ model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxq.cli import options
from onnxq.diagnostics import Diagnostic, OnnxqError, Severity, error, warning

if TYPE_CHECKING:
    from onnx import ModelProto
    from rich.console import Console

    from onnxq.calibration.statistics import Statistics
    from onnxq.insertion.half import FloatRest
    from onnxq.insertion.preparation import Raised
    from onnxq.insertion.scales import Scales
    from onnxq.model.graph import Graph
    from onnxq.model.source import Source
    from onnxq.planning.plan import Plan


def planner(rules: str | None, plan_path: Path | None) -> Callable[[Graph], Plan]:
    """How the plan is made, of a recipe, which is read at once, or a saved plan (OQ217)."""
    from onnxq.planning import cascade, plan_file, recipe

    if plan_path is None:
        compiled = recipe.load(rules or options.RECIPE)
        return lambda view: cascade.plan(view, compiled)
    if rules is not None:
        raise error("OQ217", "--plan and --rules exclude each other", fix="give one of them")
    return lambda view: plan_file.load(plan_path, view)


def require_float(placement: options.Placement) -> None:
    """Refuse --io-types half where there is no half precision (OQ217)."""
    if placement.float_type == "fp32" and placement.io_types == "half":
        raise error(
            "OQ217",
            "--io-types half needs a float type that is half precision",
            fix="add --float fp16 or --float bf16",
        )


def without_ranges(placement: options.Placement) -> list[Diagnostic]:
    """OQ513 for half precision without a calibration."""
    if placement.float_type == "fp32":
        return []
    half = placement.float_type
    told = f"without a calibration nobody knows which activations {half} cannot hold"
    return [warning("OQ513", told, fix="calibrate, or compare the outputs with 'onnxq verify'")]


def refuse_warnings(plan: Plan) -> None:
    """Raise what a plan warns of as errors, for --strict."""
    refused = [replace(d, severity=Severity.ERROR) for d in plan.diagnostics]
    if refused:
        raise OnnxqError(*refused)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """A Q/DQ model that was written: what is odd about it, and how its opset was raised.

    `plan` is less what the data say nothing of.
    `rest` is what has no pairs, if that is half precision; `raised_for_float` is for that alone.
    """

    path: Path
    view: Graph
    plan: Plan
    odd: tuple[Diagnostic, ...]
    raised: Raised | None
    rest: FloatRest | None = None
    raised_for_float: Raised | None = None

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All that is odd, in the order of the steps."""
        raised = (done.diagnostics for done in (self.raised_for_float, self.raised) if done)
        return (*self.plan.diagnostics, *self.odd, *(d for each in raised for d in each))

    def tell(self, out: Console, calibration: Path | None) -> None:
        """Print what was placed, by which rules, what is in half, and what raising did."""
        from onnxq import render

        render.plan_summary(out, self.plan, self.view)
        if self.rest is not None:
            render.float_rest(out, self.rest)
        for done in filter(None, (self.raised, self.raised_for_float)):
            out.print(str(done))
        made_with = f"calibration {calibration}" if calibration else "which needs no calibration"
        edited = ", its plan edited by hand" if self.plan.edited else ""
        out.print(f"{self.path}: recipe {self.plan.recipe}{edited}, {made_with}")

    def to_dict(self) -> dict[str, Any]:
        """What `tell` prints, for JSON."""
        from onnxq import render

        return {
            **render.plan_counts(self.plan, self.view),
            "raised": self.raised.to_dict() if self.raised else None,
            "unmatched_rules": list(self.plan.unmatched),
            "rules": {rule: dict(n) for rule, n in render.plan_by_rule(self.plan).items()},
            "float_rest": None if self.rest is None else asdict(self.rest),
            "raised_for_float": self.raised_for_float.to_dict() if self.raised_for_float else None,
        }


def place(
    path: Path,
    source: Source,
    view: Graph,
    plan: Plan,
    statistics: Statistics,
    placement: options.Placement,
) -> Placed:
    """Write the Q/DQ model, its data external where the source's is."""
    from onnxq.insertion import insert, provenance, scales
    from onnxq.model import io as models

    raised = _raised(source, insert.with_types(source.model, plan), statistics)
    computed = scales.compute_scales(view, plan, statistics)
    inserted = partial(
        insert.insert,
        source.model,
        plan,
        weights=placement.weights,
        metadata={**provenance.provenance(plan, statistics), "float": placement.float_type},
    )
    done = replace(plan, pairs=tuple(computed.by_pair))
    placed = Placed(path=path, view=view, plan=done, odd=computed.diagnostics, raised=raised)
    if placement.float_type == "fp32":
        made = inserted(computed)
    else:
        made, placed = _in_half(inserted, computed, placed, statistics, placement)
    models.save(made, path, external=bool(source.data))
    return placed


def _in_half(
    inserted: Callable[[Scales], ModelProto],
    computed: Scales,
    placed: Placed,
    statistics: Statistics,
    placement: options.Placement,
) -> tuple[ModelProto, Placed]:
    """Insert with scales that half precision has, and put what has no pairs in that type."""
    from onnxq.insertion import lowering, precision

    half = precision.HALF[placement.float_type]
    lowered = lowering.in_half(
        inserted,
        computed,
        placed.view,
        placed.plan,
        statistics,
        half,
        io_types=placement.io_types,
        path=placed.path,
    )
    odd = (*placed.odd, *lowered.diagnostics)
    done = replace(placed, odd=odd, rest=lowered.rest, raised_for_float=lowered.raised)
    return lowered.model, done


def _raised(source: Source, prepared: ModelProto, statistics: Statistics) -> Raised | None:
    """What preparing did to a model's outputs; None when neither opset nor functions changed."""
    from onnxq.insertion import preparation
    from onnxq.model import io as models

    given = models.load(source.path)
    if not given.functions and models.opset(prepared) == models.opset(given):
        return None
    return preparation.compare_raised(source.as_given(), prepared, statistics.input_shapes)
