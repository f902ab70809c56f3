"""esp-ppq's INT8 of one model; for a Python that has esp-ppq alone.

python benchmarks/peers/esp_ppq_int8.py model.onnx samples.npz out.onnx

Its settings for TensorRT, without the learned methods, written as Q/DQ. Activation functions stay:
the scales that would stand for them are those of unsigned values. A SiLU stays in the ops of its
file: as one op it would be none of ONNX.
"""

import sys

import numpy as np
import torch
from esp_ppq import QuantizationSettingFactory, TargetPlatform
from esp_ppq.api import export_ppq_graph, interface, quantize_onnx_model


def main() -> None:
    """Quantize and export."""
    model, samples, output = sys.argv[1:]
    interface.FORMATTER_FUSE_SWISH = False
    data = {name: torch.from_numpy(array) for name, array in np.load(samples).items()}
    count = len(next(iter(data.values())))
    rows = [{name: tensor[i : i + 1] for name, tensor in data.items()} for i in range(count)]
    graph = quantize_onnx_model(
        model,
        calib_dataloader=rows,
        calib_steps=count,
        input_shape=None,
        inputs=rows[0],
        platform=TargetPlatform.TRT_INT8,
        setting=QuantizationSettingFactory.trt_setting(),
        device="cpu",
    )
    export_ppq_graph(
        graph,
        platform=TargetPlatform.ONNXRUNTIME,
        graph_save_to=output,
        remove_activation=False,
    )


if __name__ == "__main__":
    main()
