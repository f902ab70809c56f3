"""ModelOpt's INT8 of one model; for a Python that has nvidia-modelopt[onnx] alone.

python benchmarks/peers/modelopt_int8.py model.onnx samples.npz out.onnx entropy|max
"""

import sys

import numpy as np
from modelopt.onnx.quantization import quantize


def main() -> None:
    """Quantize, everything else in FP32."""
    model, samples, output, method = sys.argv[1:]
    quantize(
        model,
        calibration_data=dict(np.load(samples)),
        calibration_method=method,
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        output_path=output,
        log_level="ERROR",
    )


if __name__ == "__main__":
    main()
