"""onnxq: INT8 Q/DQ for ONNX models, placed by rules, for TensorRT.

The functions below are the pipeline, one stage each; they are imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxq.calibration.calibrate import calibrate as gather_statistics
    from onnxq.calibration.statistics import Statistics
    from onnxq.descriptor import QuantDescriptor
    from onnxq.diagnostics import Diagnostic, OnnxqError
    from onnxq.feeds import DataRequest
    from onnxq.insertion.insert import insert as insert_pairs
    from onnxq.insertion.scales import compute_scales
    from onnxq.model.graph import Graph
    from onnxq.model.io import load as load_model
    from onnxq.planning.cascade import plan as make_plan
    from onnxq.planning.recipe import load as load_recipe
    from onnxq.quantization import fake_tensor_quant, tensor_quant
    from onnxq.verification import verify as verify_model

# The stages' modules are called calibrate, insert and verify, so their functions are not.
_EXPORTS = {
    "DataRequest": ("feeds", "DataRequest"),
    "Diagnostic": ("diagnostics", "Diagnostic"),
    "Graph": ("model.graph", "Graph"),
    "OnnxqError": ("diagnostics", "OnnxqError"),
    "QuantDescriptor": ("descriptor", "QuantDescriptor"),
    "Statistics": ("calibration.statistics", "Statistics"),
    "compute_scales": ("insertion.scales", "compute_scales"),
    "fake_tensor_quant": ("quantization", "fake_tensor_quant"),
    "gather_statistics": ("calibration.calibrate", "calibrate"),
    "insert_pairs": ("insertion.insert", "insert"),
    "load_model": ("model.io", "load"),
    "load_recipe": ("planning.recipe", "load"),
    "make_plan": ("planning.cascade", "plan"),
    "tensor_quant": ("quantization", "tensor_quant"),
    "verify_model": ("verification", "verify"),
}

__all__ = [
    "DataRequest",
    "Diagnostic",
    "Graph",
    "OnnxqError",
    "QuantDescriptor",
    "Statistics",
    "compute_scales",
    "fake_tensor_quant",
    "gather_statistics",
    "insert_pairs",
    "load_model",
    "load_recipe",
    "make_plan",
    "tensor_quant",
    "verify_model",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'onnxq' has no attribute '{name}'")
    module, attribute = _EXPORTS[name]
    return getattr(import_module(f"onnxq.{module}"), attribute)
