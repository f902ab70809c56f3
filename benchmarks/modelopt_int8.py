"""ModelOpt's INT8 of one model; for a Python that has nvidia-modelopt[onnx] alone.

python benchmarks/modelopt_int8.py model.onnx input samples.npy entropy|max out.onnx
"""

import sys

import numpy as np
from modelopt.onnx.quantization import quantize


def main():
    """Quantize, everything else in FP32."""
    model, name, samples, method, output = sys.argv[1:]
    quantize(
        model,
        calibration_data={name: np.load(samples)},
        calibration_method=method,
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        output_path=output,
        log_level="ERROR",
    )


if __name__ == "__main__":
    main()
