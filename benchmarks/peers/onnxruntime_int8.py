"""onnxruntime's INT8 of one model, after its own preparation; for a Python with onnxruntime alone.

python benchmarks/peers/onnxruntime_int8.py model.onnx samples.npz out.onnx
"""

import sys

import numpy as np
import onnx
import onnx.version_converter
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

PER_CHANNEL = 13  # the opset that scales per channel need


class Rows(CalibrationDataReader):
    """The samples one by one."""

    def __init__(self, samples: str) -> None:
        data = dict(np.load(samples))
        count = len(next(iter(data.values())))
        self._rows = iter([{k: v[i : i + 1] for k, v in data.items()} for i in range(count)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next sample, None after the last."""
        return next(self._rows, None)


def main() -> None:
    """Quantize, symmetric and per channel; biases stay in float, as TensorRT needs it."""
    model, samples, output = sys.argv[1:]
    prepared = f"{model}.prepared.onnx"
    proto = onnx.load(model)
    if proto.opset_import[0].version < PER_CHANNEL:
        onnx.save(onnx.version_converter.convert_version(proto, PER_CHANNEL), model)
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        output,
        Rows(samples),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
        },
    )


if __name__ == "__main__":
    main()
