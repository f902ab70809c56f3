"""onnxq: INT8 Q/DQ for ONNX models, placed by rules, for TensorRT.

Every verb of the command line is a function here. Each returns a frozen result that prints as the
command does, shows itself in a notebook, and has `to_dict()`; what cannot work raises OnnxqError.
Names are imported when they are first used.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

# onnxruntime 1.32 writes events into the home folder and sends them, unless this is set before it
# is imported; processes that onnxq starts inherit it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from onnxq.api.caches import ExportedCache, ImportedCache, export_cache, import_cache
    from onnxq.api.calibrating import calibrate
    from onnxq.api.calibrations import CalibrationSummary, merge, summarize
    from onnxq.api.diagnosing import Check, Doctor, doctor
    from onnxq.api.explaining import CodeExplanation, Explanations, explain
    from onnxq.api.improving import improve
    from onnxq.api.inserted import InsertResult
    from onnxq.api.inserting import insert, scales
    from onnxq.api.linting import LintReport, StripResult, lint, strip
    from onnxq.api.loaders import DataLoader, data_loader
    from onnxq.api.planning import load_plan, plan, plan_changes, plan_lines
    from onnxq.api.quantizing import QuantizeResult, quantize
    from onnxq.api.recipes import (
        load_preprocess,
        load_recipe,
        preprocess_text,
        recipe_text,
        rule_schema,
        shipped_preprocessings,
        shipped_recipes,
    )
    from onnxq.api.requirements import require_calibration_of
    from onnxq.api.sensing import sensitivity
    from onnxq.api.training import train
    from onnxq.api.tuning import tune
    from onnxq.api.verifying import verify
    from onnxq.calibration.statistics import Statistics
    from onnxq.descriptor import QuantDescriptor
    from onnxq.diagnostics import Diagnostic, OnnxqError, Severity
    from onnxq.feeds.preprocess import Preprocess
    from onnxq.improvement.improvement import Improvement
    from onnxq.insertion.scales import Scales
    from onnxq.model.loading import Model, load
    from onnxq.planning.plan import Plan
    from onnxq.planning.plan_changes import PlanChanges
    from onnxq.planning.recipe import Recipe
    from onnxq.progress import Progress
    from onnxq.quantization import fake_tensor_quant, tensor_quant
    from onnxq.sensitivities.sensitivity import Sensitivity
    from onnxq.training.trained import Trained
    from onnxq.tuning.tuned import Tuned
    from onnxq.verification.profiles import Profile
    from onnxq.verification.report import VerifyReport

_MODULES: Final = {
    "api.caches": ("ExportedCache", "ImportedCache", "export_cache", "import_cache"),
    "api.calibrating": ("calibrate",),
    "api.calibrations": ("CalibrationSummary", "merge", "summarize"),
    "api.diagnosing": ("Check", "Doctor", "doctor"),
    "api.explaining": ("CodeExplanation", "Explanations", "explain"),
    "api.improving": ("improve",),
    "api.inserted": ("InsertResult",),
    "api.inserting": ("insert", "scales"),
    "api.linting": ("LintReport", "StripResult", "lint", "strip"),
    "api.loaders": ("DataLoader", "data_loader"),
    "api.planning": ("load_plan", "plan", "plan_changes", "plan_lines"),
    "api.quantizing": ("QuantizeResult", "quantize"),
    "api.recipes": (
        "load_preprocess",
        "load_recipe",
        "preprocess_text",
        "recipe_text",
        "rule_schema",
        "shipped_preprocessings",
        "shipped_recipes",
    ),
    "api.requirements": ("require_calibration_of",),
    "api.sensing": ("sensitivity",),
    "api.training": ("train",),
    "api.tuning": ("tune",),
    "api.verifying": ("verify",),
    "calibration.statistics": ("Statistics",),
    "descriptor": ("QuantDescriptor",),
    "diagnostics": ("Diagnostic", "OnnxqError", "Severity"),
    "feeds.preprocess": ("Preprocess",),
    "improvement.improvement": ("Improvement",),
    "insertion.scales": ("Scales",),
    "model.loading": ("Model", "load"),
    "planning.plan": ("Plan",),
    "planning.plan_changes": ("PlanChanges",),
    "planning.recipe": ("Recipe",),
    "progress": ("Progress",),
    "quantization": ("fake_tensor_quant", "tensor_quant"),
    "sensitivities.sensitivity": ("Sensitivity",),
    "training.trained": ("Trained",),
    "tuning.tuned": ("Tuned",),
    "verification.profiles": ("Profile",),
    "verification.report": ("VerifyReport",),
}
_MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "CalibrationSummary",
    "Check",
    "CodeExplanation",
    "DataLoader",
    "Diagnostic",
    "Doctor",
    "Explanations",
    "ExportedCache",
    "ImportedCache",
    "Improvement",
    "InsertResult",
    "LintReport",
    "Model",
    "OnnxqError",
    "Plan",
    "PlanChanges",
    "Preprocess",
    "Profile",
    "Progress",
    "QuantDescriptor",
    "QuantizeResult",
    "Recipe",
    "Scales",
    "Sensitivity",
    "Severity",
    "Statistics",
    "StripResult",
    "Trained",
    "Tuned",
    "VerifyReport",
    "calibrate",
    "data_loader",
    "doctor",
    "explain",
    "export_cache",
    "fake_tensor_quant",
    "import_cache",
    "improve",
    "insert",
    "lint",
    "load",
    "load_plan",
    "load_preprocess",
    "load_recipe",
    "merge",
    "plan",
    "plan_changes",
    "plan_lines",
    "preprocess_text",
    "quantize",
    "recipe_text",
    "require_calibration_of",
    "rule_schema",
    "scales",
    "sensitivity",
    "shipped_preprocessings",
    "shipped_recipes",
    "strip",
    "summarize",
    "tensor_quant",
    "train",
    "tune",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "torch":  # a package of its own, for those who have torch
        return import_module("onnxq.torch")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'onnxq' has no attribute '{name}'")
    return getattr(import_module(f"onnxq.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
