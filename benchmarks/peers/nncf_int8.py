"""NNCF's INT8 of one model; for a Python that has nncf alone.

python benchmarks/peers/nncf_int8.py model.onnx samples.npz out.onnx RECIPE

Transformers (RECIPE transformer) get the model type for them, which brings SmoothQuant. Inputs of
depthwise convolutions get one scale, as TensorRT needs it. NNCF makes tensors without negative
values unsigned, which TensorRT refuses, and its tables of hardware leave no option against it: the
ranges are made signed where NNCF computes them.
"""

import copy
import sys
from typing import Any

import nncf
import numpy as np
import onnx
import onnx.version_converter
from nncf.quantization import fake_quantize
from nncf.quantization.advanced_parameters import (
    AdvancedQuantizationParameters,
    QuantizationParameters,
)

PER_CHANNEL = 13  # the opset that scales per channel need
RANGE = fake_quantize.symmetric_range


def signed_range(low: Any, high: Any, levels: int, config: Any) -> Any:
    """NNCF's symmetric range, signed."""
    signed = copy.copy(config)
    signed.signedness_to_force = True
    return RANGE(low, high, levels, signed)


def main() -> None:
    """Quantize, symmetric and signed."""
    model, samples, output, recipe = sys.argv[1:]
    fake_quantize.symmetric_range = signed_range
    data = dict(np.load(samples))
    count = len(next(iter(data.values())))
    rows = [{name: array[i : i + 1] for name, array in data.items()} for i in range(count)]
    proto = onnx.load(model)
    if proto.opset_import[0].version < PER_CHANNEL:
        proto = onnx.version_converter.convert_version(proto, PER_CHANNEL)
    made = nncf.quantize(
        proto,
        nncf.Dataset(rows),
        subset_size=count,
        preset=nncf.QuantizationPreset.PERFORMANCE,
        model_type=nncf.ModelType.TRANSFORMER if recipe == "transformer" else None,
        advanced_parameters=AdvancedQuantizationParameters(
            activations_quantization_params=QuantizationParameters(per_channel=False)
        ),
    )
    onnx.save(made, output)


if __name__ == "__main__":
    main()
