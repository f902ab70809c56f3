"""Builds an engine with Polygraphy and TensorRT-RTX: a program of its own, as builders may crash.

    python -m onnxq.verify._build job.json result.json

The job is {"model": path, "profiles": {input: [min, opt, max]}, "targets": [[8, 9], ..]}.
The result is {"layers": text, "engine_bytes": n, "version": text}. What the builder says goes to
stderr. The program ends when its standard input does: whoever started it is gone then.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from onnxq.verify.layers import HEADER


def main(job_path: str, result_path: str) -> int:
    """Build the job's model; the result file is written, and 0 returned, only on success."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from polygraphy.exception import PolygraphyException

    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    import tensorrt_rtx as trt

    messages: list[str] = []
    try:
        engine = _build(job, trt, messages)
    except PolygraphyException:
        return 1  # the reason was logged
    result = {
        "layers": messages[-1] if messages else "",
        "engine_bytes": engine.nbytes,
        "version": trt.__version__,
    }
    Path(result_path).write_text(json.dumps(result), encoding="utf-8")
    return 0


def _end_with_parent() -> None:
    while os.read(0, 1):  # not through sys.stdin, whose lock would be held at the end
        pass
    os._exit(1)


def _build(job: dict[str, Any], trt: Any, messages: list[str]) -> Any:
    from polygraphy.backend.tensorrt_rtx import CreateConfigRTX
    from polygraphy.backend.trt import EngineBytesFromNetwork, NetworkFromOnnxPath, Profile
    from polygraphy.backend.trt import util as trt_util
    from polygraphy.logger import G_LOGGER

    G_LOGGER.module_severity = G_LOGGER.ERROR
    trt_util.TRT_LOGGER = _logger(trt, messages)
    profile = Profile()
    for name, shapes in job["profiles"].items():
        profile.add(name, *shapes)
    config = CreateConfigRTX(
        compute_capabilities=[tuple(t) for t in job["targets"]] if job["targets"] else None,
        # Other verbosities leave the layers out of the log.
        profiling_verbosity=trt.ProfilingVerbosity.DETAILED,
        profiles=[profile] if job["profiles"] else None,
    )
    # Bytes, as deserializing an engine needs a GPU driver.
    return EngineBytesFromNetwork(NetworkFromOnnxPath(job["model"]), config=config)()


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
