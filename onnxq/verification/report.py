"""What verify found, as types; `to_dict` is what --json prints, and `schema` describes that."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from onnxq.diagnostics import Diagnostic, Span, has_errors
from onnxq.linting import Finding
from onnxq.shown import Shown, renderer
from onnxq.verification.compiled import CompiledOp, CompiledReport
from onnxq.verification.data import DataUse
from onnxq.verification.engines import EngineRun
from onnxq.verification.numeric import Comparison, NumericReport, TensorComparison
from onnxq.verification.origins import Lineage
from onnxq.verification.thresholds import NONE, Thresholds, refusals

VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """What lint, onnxruntime and a TensorRT compiler say of one Q/DQ model, the file `model`.

    `numeric` is None without samples, or when a model does not run: then `why_not_numeric` says so.
    `compiled` is None when no compiler was asked for, or when there is none or it failed:
    then `why_not_compiled` says so, as a warning in the first case and an error in the second.
    `made_by` is what onnxq recorded in the model (`provenance.provenance`); other tools do not.
    `float_ops` counts the ops beside Q/DQ and Casts by the float type that the file gives them.
    """

    model: str
    made_by: Mapping[str, str] = field(default_factory=dict)
    float_ops: Mapping[str, int] = field(default_factory=dict)
    lint: tuple[Finding, ...]
    numeric: NumericReport | None = None
    why_not_numeric: Diagnostic | None = None
    compiled: CompiledReport | None = None
    why_not_compiled: Diagnostic | None = None

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
        """Everything found: by lint, then what kept the other two from answering."""
        others = (self.why_not_numeric, self.why_not_compiled)
        notes = self.compiled.notes if self.compiled else ()
        return (*self.lint, *notes, *(d for d in others if d is not None))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class VerifyReport(Shown):
    """One or more Q/DQ models beside the float model that they were made from.

    `version` counts the layouts of this report: a field that is new does not change it, one that
    goes or means something else does. `data` is None where the models were not compared.
    `runs` are of the models' engines and the float model's in FP16 and FP32, on a GPU; where there
    are none `why_not_run` is "no GPU", "no data" or "no compiler". `notes` are diagnostics of the
    data and of how the models were found, `thresholds` what the report is held to; `lineage` is
    what made the models, for the page.
    """

    version: int = VERSION
    float_model: str
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

        What holds for all models stands once, the rest begins with the name of the model.
        """
        each = [model.diagnostics for model in self.models]
        of_all = [d for d in each[0] if all(d in others for others in each)]
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
    def _only(self) -> ModelReport:
        if len(self.models) > 1:
            raise ValueError("the report has several models: use report.models[i]")
        return self.models[0]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON takes it: infinities are "inf" and "-inf", missing figures null."""
        values: dict[str, Any] = _plain(self)
        return values

    def to_html(self) -> str:
        """The report as one page that loads nothing (OQ670 where what draws it is missing)."""
        return renderer().as_page(self)


# Fields that JSON does not have, and properties that it has.
HIDDEN: Final[Mapping[type, tuple[str, ...]]] = {
    Span: ("source",),
    VerifyReport: ("notes", "thresholds", "lineage"),
}
DERIVED: Final[Mapping[type, tuple[str, ...]]] = {
    CompiledReport: ("int8", "int8_macs", "quantized_macs", "macs", "counts"),
    NumericReport: ("sqnr_db", "cosine", "culprits"),
    TensorComparison: ("noise",),
    VerifyReport: ("diagnostics",),
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
