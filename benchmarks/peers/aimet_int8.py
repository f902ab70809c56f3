"""AIMET-ONNX's INT8 of one model; for a Python that has aimet-onnx alone.

python benchmarks/peers/aimet_int8.py model.onnx samples.npz out.onnx

Scheme tf_enhanced, its configuration with weights per channel, and all else symmetric and signed,
as TensorRT needs it.
"""

import json
import sys
from pathlib import Path

import aimet_onnx
import numpy as np
import onnx
from aimet_onnx.batch_norm_fold import fold_all_batch_norms_to_weight
from aimet_onnx.quantsim import QuantizationSimModel

CONFIGURATION = "common/quantsim_config/default_config_per_channel.json"


def main() -> None:
    """Fold normalizations, calibrate and write Q/DQ."""
    model, samples, output = sys.argv[1:]
    configuration = json.loads((Path(aimet_onnx.__file__).parent / CONFIGURATION).read_text())
    configuration["defaults"]["ops"]["is_symmetric"] = "True"
    configuration["defaults"]["unsigned_symmetric"] = "False"
    Path("aimet.json").write_text(json.dumps(configuration))
    proto = onnx.load(model)
    fold_all_batch_norms_to_weight(proto)
    simulated = QuantizationSimModel(
        proto,
        quant_scheme="tf_enhanced",
        config_file="aimet.json",
        providers=["CPUExecutionProvider"],
    )
    data = dict(np.load(samples))
    count = len(next(iter(data.values())))
    simulated.compute_encodings(
        [{name: array[i : i + 1] for name, array in data.items()} for i in range(count)]
    )
    made = simulated.to_onnx_qdq(prequantize_constants=True, force_activation_as="signed")
    onnx.save(made, output)


if __name__ == "__main__":
    main()
