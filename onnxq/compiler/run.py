"""Runs an engine on a GPU with Polygraphy's runner, in a process of its own like `build`.

    python -m onnxq.compiler.run job.json result.json

The job is {"engine": path, "samples": [path, ..], "outputs": folder, "plugins": [path, ..]}, with
samples that `save_arrays` wrote. The outputs of the first sample are then in `0.npz` of that
folder. The result is {"seconds": s, "seconds_with_copies": s}, medians of one inference on the last
sample.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from onnxq.compiler import plugins, worker
from onnxq.passed_arrays import load_arrays, save_arrays

WARM_UP: Final = 20  # inferences; TensorRT-RTX compiles kernels in the first
TIMED: Final = 100


def work(job: Mapping[str, Any], trt: Any, messages: list[str]) -> dict[str, Any]:
    """Write the outputs of every sample, and time the last."""
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner

    plugins.load(trt, worker.logger(), job.get("plugins", ()))
    with TrtRunner(EngineFromBytes(Path(job["engine"]).read_bytes())) as runner:
        for index, path in enumerate(job["samples"]):
            tensors = load_arrays(path)
            save_arrays(Path(job["outputs"]) / f"{index}.npz", runner.infer(tensors))
        return {
            "seconds": _seconds_on_gpu(runner, tensors),
            "seconds_with_copies": _median(runner, tensors),
        }


def _seconds_on_gpu(runner: Any, tensors: Mapping[str, Any]) -> float:
    """Median time with all tensors on the GPU, except shape tensors, which must be on the host."""
    from polygraphy import cuda

    inputs = dict(tensors)
    copies = {
        name: cuda.DeviceArray(shape=array.shape, dtype=array.dtype)
        for name, array in tensors.items()
        if not runner.engine.is_shape_inference_io(name)
    }
    try:
        for name, copy in copies.items():
            inputs[name] = copy.copy_from(tensors[name])
        return _median(runner, inputs, copy_outputs_to_host=False)
    finally:
        for copy in copies.values():
            copy.free()


def _median(runner: Any, tensors: Mapping[str, Any], **how: bool) -> float:
    times = []
    for _ in range(WARM_UP + TIMED):
        runner.infer(tensors, check_inputs=False, **how)
        times.append(runner.last_inference_time())
    return float(statistics.median(times[WARM_UP:]))


if __name__ == "__main__":
    sys.exit(worker.main(work, *sys.argv[1:]))
