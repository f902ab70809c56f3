"""onnxq: INT8 Q/DQ for ONNX models, placed by rules, for TensorRT.

The functions below are the pipeline, one stage each; they are imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxq.calibrate import calibrate as gather_statistics
    from onnxq.cascade import plan as make_plan
    from onnxq.descriptor import QuantDescriptor
    from onnxq.diagnostics import Diagnostic, OnnxqError
    from onnxq.feeds import DataRequest
    from onnxq.graph import Graph
    from onnxq.insert import insert as insert_pairs
    from onnxq.model import load as load_model
    from onnxq.recipe import load as load_recipe
    from onnxq.scales import compute_scales
    from onnxq.statistics import Statistics
    from onnxq.tensor_quant import fake_tensor_quant, tensor_quant
    from onnxq.verify import verify as verify_model

# The stages' modules are called calibrate, insert and verify, so their functions are not.
_EXPORTS = {
    "DataRequest": ("feeds", "DataRequest"),
    "Diagnostic": ("diagnostics", "Diagnostic"),
    "Graph": ("graph", "Graph"),
    "OnnxqError": ("diagnostics", "OnnxqError"),
    "QuantDescriptor": ("descriptor", "QuantDescriptor"),
    "Statistics": ("statistics", "Statistics"),
    "compute_scales": ("scales", "compute_scales"),
    "fake_tensor_quant": ("tensor_quant", "fake_tensor_quant"),
    "gather_statistics": ("calibrate", "calibrate"),
    "insert_pairs": ("insert", "insert"),
    "load_model": ("model", "load"),
    "load_recipe": ("recipe", "load"),
    "make_plan": ("cascade", "plan"),
    "tensor_quant": ("tensor_quant", "tensor_quant"),
    "verify_model": ("verify", "verify"),
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
