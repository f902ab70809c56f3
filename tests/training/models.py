"""A small net, and a Q/DQ model of it whose amax are far too large: it has much to learn."""

import onnx
import torch

import onnxq
import onnxq.torch
from tests.improvement.models import samples, two_convs


def written(folder, factor=6.0):
    """The files of the float model and of the Q/DQ model in a folder."""
    float_path, exact, path = (folder / f"{n}.onnx" for n in ("model", "exact", "model.qdq"))
    onnx.save(two_convs(), float_path)
    onnxq.insert(
        float_path, statistics=onnxq.calibrate(float_path, samples(16, seed=5)), output=exact
    )
    module = onnxq.torch.load(exact)
    with torch.no_grad():
        for quantizer in module.quantizers.values():
            quantizer.amax.mul_(1.0 if quantizer.of.stored else factor)
    onnxq.torch.save(module, exact, path)
    return float_path, path
