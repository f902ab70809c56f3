"""Builds an engine with Polygraphy and TensorRT: a program of its own, as builders may crash.

    python -m onnxq.verify._build job.json result.json

The job is {"model": path, "profiles": {input: [min, opt, max]}, "targets": [[8, 9], ..]}. The
result is {"layers": text, "engine_bytes": n, "version": text}.

With "samples", paths of files that `save_arrays` wrote, and "outputs", a folder, the job also runs
the engine, which needs a GPU: the outputs for the first sample are then in `0.npz` of that folder,
and the result has "seconds", of one inference.

What the builder says goes to stderr. The program ends when its standard input does: whoever started
it is gone then.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import threading
from pathlib import Path
from typing import Any, Final

from onnxq.verify.arrays import load_arrays, save_arrays
from onnxq.verify.layers import HEADER

WARM_UP: Final = 20
TIMED: Final = 100


def main(job_path: str, result_path: str) -> int:
    """Build the job's model; the result file is written, and 0 returned, only on success."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from polygraphy import config
    from polygraphy.exception import PolygraphyException

    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    trt = importlib.import_module("tensorrt_rtx" if config.USE_TENSORRT_RTX else "tensorrt")

    messages: list[str] = []
    try:
        engine = _build(job, trt, messages)
        result = {
            "layers": messages[-1] if messages else "",
            "engine_bytes": engine.nbytes,
            "version": trt.__version__,
        }
        if "samples" in job:
            result["seconds"] = _run(engine, job["samples"], Path(job["outputs"]))
    except PolygraphyException:
        return 1  # the reason was logged
    Path(result_path).write_text(json.dumps(result), encoding="utf-8")
    return 0


def _end_with_parent() -> None:
    while os.read(0, 1):  # not through sys.stdin, whose lock would be held at the end
        pass
    os._exit(1)


def _build(job: dict[str, Any], trt: Any, messages: list[str]) -> Any:
    from polygraphy.backend.trt import EngineBytesFromNetwork, NetworkFromOnnxPath, Profile
    from polygraphy.backend.trt import util as trt_util
    from polygraphy.logger import G_LOGGER

    G_LOGGER.module_severity = G_LOGGER.ERROR
    trt_util.TRT_LOGGER = _logger(trt, messages)
    profile = Profile()
    for name, shapes in job["profiles"].items():
        profile.add(name, *shapes)
    how = {
        # Other verbosities leave the layers out of the log.
        "profiling_verbosity": trt.ProfilingVerbosity.DETAILED,
        "profiles": [profile] if job["profiles"] else None,
    }
    # TensorRT 10 needs to be told; what is newer has no other way.
    network = NetworkFromOnnxPath(job["model"], strongly_typed=True)
    # Bytes, as deserializing an engine needs a GPU driver.
    return EngineBytesFromNetwork(network, config=_config(job["targets"], how))()


def _config(targets: list[list[int]], how: dict[str, Any]) -> Any:
    from polygraphy import config

    if not config.USE_TENSORRT_RTX:
        from polygraphy.backend.trt import CreateConfig

        return CreateConfig(**how)
    from polygraphy.backend.tensorrt_rtx import CreateConfigRTX

    return CreateConfigRTX(compute_capabilities=[tuple(t) for t in targets] or None, **how)


def _run(engine: Any, samples: list[str], outputs: Path) -> float:
    """Write the outputs of every sample; median seconds of an inference on the last one."""
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner

    with TrtRunner(EngineFromBytes(engine)) as runner:
        for index, path in enumerate(samples):
            tensors = load_arrays(path)
            save_arrays(outputs / f"{index}.npz", runner.infer(tensors))
        return _seconds(runner, tensors)


def _seconds(runner: Any, tensors: dict[str, Any]) -> float:
    """Inputs and outputs stay on the GPU; what Polygraphy itself takes is counted."""
    from polygraphy import cuda

    copies = {n: cuda.DeviceArray(shape=a.shape, dtype=a.dtype) for n, a in tensors.items()}
    try:
        for name, array in tensors.items():
            copies[name].copy_from(array)
        times = []
        for _ in range(WARM_UP + TIMED):
            runner.infer(copies, check_inputs=False, copy_outputs_to_host=False)
            times.append(runner.last_inference_time())
    finally:
        for copy in copies.values():
            copy.free()
    return float(statistics.median(times[WARM_UP:]))


def _logger(trt: Any, messages: list[str]) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if message.startswith(HEADER):
                messages.append(message)
            elif severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                print("[E]", message, file=sys.stderr, flush=True)

    return Logger()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
