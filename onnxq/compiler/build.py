"""Builds an engine with Polygraphy and TensorRT, in its own process because builders may crash.

    python -m onnxq.compiler.build job.json result.json

The job is {"model": path, "profiles": {input: [min, opt, max]}, "targets": [[8, 9], ..]}, and may
have "plugins": [path, ..], libraries to load, and "may_be_plugins": [op, ..]. The result is
{"layers": text, "engine_bytes": n, "version": text, "problems": {library: why it has no plugin}}.
If the job has "engine", a path, the engine is written there. Where the compiler does not know some
of the ops nothing is built, and the result is {"unknown": [op, ..], "takes_plugins": bool,
"problems": ..}.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxq.compiler import plugins, worker


def work(job: Mapping[str, Any], trt: Any, messages: list[str]) -> dict[str, Any]:
    """Build the job's model, if the compiler knows its ops."""
    logger = worker.logger()
    problems = plugins.load(trt, logger, job.get("plugins", ()))
    unknown = plugins.unknown(trt, logger, job.get("may_be_plugins", ()))
    if unknown:
        takes_plugins = plugins.takes_plugins(trt)
        return {"unknown": unknown, "takes_plugins": takes_plugins, "problems": problems}
    engine = build(job, trt)
    if "engine" in job:
        Path(job["engine"]).write_bytes(engine)
    return {
        "layers": _layers(engine, trt, messages),
        "engine_bytes": engine.nbytes,
        "version": trt.__version__,
        "problems": problems,
    }


def build(job: Mapping[str, Any], trt: Any) -> Any:
    """The job's engine as memory: deserializing one needs a GPU driver."""
    from polygraphy.backend.trt import EngineBytesFromNetwork, NetworkFromOnnxPath, Profile

    profile = Profile()
    for name, shapes in job["profiles"].items():
        profile.add(name, *shapes)
    how = {
        # Other verbosities leave the layers out of the log.
        "profiling_verbosity": trt.ProfilingVerbosity.DETAILED,
        "profiles": [profile] if job["profiles"] else None,
    }
    # TensorRT 10 needs the option; newer versions always are strongly typed.
    network = NetworkFromOnnxPath(job["model"], strongly_typed=True)
    return EngineBytesFromNetwork(network, config=_config(job["targets"], how))()


def _config(targets: list[list[int]], how: dict[str, Any]) -> Any:
    from polygraphy import config

    if not config.USE_TENSORRT_RTX:
        from polygraphy.backend.trt import CreateConfig

        return CreateConfig(**how)
    from polygraphy.backend.tensorrt_rtx import CreateConfigRTX

    return CreateConfigRTX(compute_capabilities=[tuple(t) for t in targets] or None, **how)


def _layers(engine: Any, trt: Any, messages: list[str]) -> str:
    """The builder's log for TensorRT-RTX; the inspector's JSON for TensorRT, which has a GPU."""
    from polygraphy import config
    from polygraphy.backend.trt import EngineFromBytes

    if config.USE_TENSORRT_RTX:
        return messages[-1] if messages else ""
    inspector = EngineFromBytes(engine)().create_engine_inspector()
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


if __name__ == "__main__":
    sys.exit(worker.main(work, *sys.argv[1:]))
