"""Quark's INT8 of one model; for a Python that has amd-quark and onnxruntime alone.

python benchmarks/peers/quark_int8.py model.onnx samples.npz out.onnx

Its int8 with scales in float, percentile for activations; weights per channel and biases in float,
as TensorRT needs it. None of the learned methods: they take 80 s a block and more on two cores.
"""

import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader
from quark.onnx import Int8Spec, ModelQuantizer, QConfig, QLayerConfig
from quark.onnx.quantization.config.spec import CalibMethod, QuantGranularity


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
    """Quantize."""
    model, samples, output = sys.argv[1:]
    weight = Int8Spec(
        calibration_method=CalibMethod.MinMax, quant_granularity=QuantGranularity.Channel
    )
    configuration = QConfig(
        QLayerConfig(activation=Int8Spec(), weight=weight),
        extra_options={"QuantizeBias": False},
    )
    ModelQuantizer(configuration).quantize_model(model, output, Rows(samples))


if __name__ == "__main__":
    main()
