"""The report of verify; `to_dict` is the output of --json, and `schema` describes it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from onnxq.cost.engine import EngineCost
from onnxq.cost.kernel import Kernel
from onnxq.cost.report import CostReport
from onnxq.diagnostics import Diagnostic, Span, has_errors
from onnxq.linting import Finding
from onnxq.shown import Shown, renderer
from onnxq.verification.compiled import CompiledOp, CompiledReport
from onnxq.verification.data import DataUse
from onnxq.verification.engines import EngineRun
from onnxq.verification.numeric import Comparison, NumericReport, SortedRows, TensorComparison
from onnxq.verification.origins import Lineage
from onnxq.verification.thresholds import NONE, Thresholds, refusals

VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """The results of lint, onnxruntime and a TensorRT compiler for one Q/DQ model file `model`.

    `numeric` is None without samples, or when a model does not run; `why_not_numeric` then has the
    reason. `compiled` is None when no compiler was requested, is installed, or succeeded;
    `why_not_compiled` then is a warning when it is not installed and an error when it failed.
    `cost` is what the engine costs on a GPU that was named; None when none was, or for the reason
    `why_no_cost`. `made_by` is the metadata that onnxq recorded in the model; it is empty for other
    tools.
    `float_ops` counts the ops other than Q/DQ and Cast by their float type in the file.
    """

    model: str
    made_by: Mapping[str, str] = field(default_factory=dict)
    float_ops: Mapping[str, int] = field(default_factory=dict)
    lint: tuple[Finding, ...]
    numeric: NumericReport | None = None
    why_not_numeric: Diagnostic | None = None
    compiled: CompiledReport | None = None
    why_not_compiled: Diagnostic | None = None
    cost: CostReport | None = None
    why_no_cost: Diagnostic | None = None

    @property
    def outputs(self) -> Mapping[str, Comparison]:
        """The outputs by name; empty when nothing was compared."""
        return {o.name: o for o in self.numeric.outputs} if self.numeric is not None else {}

    @property
    def layers(self) -> tuple[CompiledOp, ...]:
        """Every weighted op as the engine computes it; empty when nothing was compiled."""
        return self.compiled.ops if self.compiled is not None else ()

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All diagnostics: of lint, of the build, and why numeric or compiled is missing."""
        others = (self.why_not_numeric, self.why_not_compiled, self.why_no_cost)
        notes = (
            *(self.numeric.notes if self.numeric else ()),
            *(self.compiled.notes if self.compiled else ()),
            *(self.cost.notes if self.cost else ()),
        )
        return (*self.lint, *notes, *(d for d in others if d is not None))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class VerifyReport(Shown):
    """One or more Q/DQ models compared with the float model that they were made from.

    `version` counts the layouts of this report: it changes when a field is removed or changes its
    meaning, not when one is added. `float_pairs` counts the pairs that the float model has itself:
    figures then say nothing of these. `data` is None when the models were not compared.
    `runs` are the runs on a GPU of the models' engines, and of the float model's in FP16 and FP32;
    if there are none, `why_not_run` is "no GPU", "no data" or "no compiler". `notes` are
    diagnostics of the data and the calibrations, `thresholds` the figures to reach; `lineage` has
    the calibrations and plans of the models, for the page.
    """

    version: int = VERSION
    float_model: str
    float_pairs: int = 0
    data: DataUse | None = None
    models: tuple[ModelReport, ...]
    runs: tuple[EngineRun, ...] = ()
    why_not_run: str = ""

    notes: tuple[Diagnostic, ...] = ()
    thresholds: Thresholds = NONE
    lineage: Lineage | None = field(default=None, compare=False)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All diagnostics: of the data, of the models in their order, and missed thresholds.

        A diagnostic of all models appears once; the others begin with the name of the model.
        """
        each = [model.diagnostics for model in self.models]
        of_all = [d for d in each[0] if all(d in others for others in each)] if each else []
        of_one = [
            dataclasses.replace(d, message=f"'{model.model}': {d.message}")
            for model, diagnostics in zip(self.models, each, strict=True)
            for d in diagnostics
            if d not in of_all
        ]
        problems = (run.problem for run in self.runs if run.problem)
        return (*self.notes, *of_all, *of_one, *problems, *refusals(self.models, self.thresholds))

    @property
    def passed(self) -> bool:
        """True when no diagnostic is an error; the command exits with 1 otherwise."""
        return not has_errors(self.diagnostics)

    @property
    def outputs(self) -> Mapping[str, Comparison]:
        """The outputs by name, of the only Q/DQ model; empty when nothing was compared."""
        return self._only.outputs

    @property
    def layers(self) -> tuple[CompiledOp, ...]:
        """Every weighted op as the engine computes it, of the only Q/DQ model."""
        return self._only.layers

    @property
    def cost(self) -> CostReport | None:
        """What the engine of the only Q/DQ model costs; None unless a GPU was named."""
        return self._only.cost

    @property
    def _only(self) -> ModelReport:
        if len(self.models) > 1:
            raise ValueError("the report has several models: use report.models[i]")
        return self.models[0]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values: infinities are "inf" and "-inf", missing figures null."""
        values: dict[str, Any] = _plain(self)
        # A finding of lint is a diagnostic here; `models` has its node and its effect.
        return {**values, "diagnostics": [d.to_dict() for d in self.diagnostics]}

    def to_html(self) -> str:
        """The report as one page that loads nothing; OQ670 if Jinja or Vega is not installed."""
        return renderer().as_page(self)


# Fields that the JSON omits, and properties that it includes.
HIDDEN: Final[Mapping[type, tuple[str, ...]]] = {
    Span: ("source",),
    VerifyReport: ("notes", "thresholds", "lineage"),
}
DERIVED: Final[Mapping[type, tuple[str, ...]]] = {
    CostReport: ("ratio",),
    EngineCost: (
        "bytes",
        "listed_bytes",
        "weight_bytes",
        "macs",
        "seconds",
        "conversion_bytes",
        "conversion_share",
    ),
    Kernel: ("bytes",),
    CompiledReport: ("int8", "int8_macs", "quantized_macs", "macs", "counts"),
    SortedRows: ("kept_share",),
    NumericReport: ("sqnr_db", "cosine", "culprits"),
    TensorComparison: ("noise",),
    VerifyReport: ("passed", "diagnostics"),
}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        hidden = HIDDEN.get(type(value), ())
        names = [f.name for f in dataclasses.fields(value) if f.name not in hidden]
        return {n: _plain(getattr(value, n)) for n in (*names, *DERIVED.get(type(value), ()))}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        items = [_plain(item) for item in value]
        named = getattr(value, "_fields", None)
        return items if named is None else dict(zip(named, items, strict=True))
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return str(value) if isinstance(value, str) else value
