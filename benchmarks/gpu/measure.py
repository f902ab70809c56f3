"""Build the engines of a bundle, run them on this machine's GPU, and write one JSON file.

    python benchmarks/gpu/measure.py --models FOLDER --output result.json

run.sh calls it. Full TensorRT is used where it is installed, else TensorRT-RTX. Without a GPU
engines are built only. The file is written after every network, so that a run that is cut off
leaves what it has.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from bundle import Bundle
from measured import Engine, Machine, Measurement, Result
from running import NO_TIME, Bench, Budget

from onnxq.verification.gpu import gpu
from onnxq.verification.tensorrt import Compiler

FIELDS = (
    "name",
    "driver_version",
    "compute_cap",
    "memory.total",
    "power.limit",
    "clocks.max.sm",
    "clocks.max.mem",
)
PACKAGES = ("onnxq", "tensorrt", "tensorrt_rtx_cu13", "polygraphy", "onnx", "onnxruntime", "numpy")


def compiler() -> Compiler:
    """What is installed: TensorRT before TensorRT-RTX; TensorRT builds on a GPU alone."""
    full = importlib.util.find_spec("tensorrt") is not None and gpu()
    return "tensorrt" if full else "tensorrt-rtx"


def machine() -> Machine:
    """This machine, its GPU and the versions of what is installed."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Machine(
        processor=platform.machine(),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        gpu=nvidia_smi() if gpu() else {},
        versions=versions,
    )


def nvidia_smi() -> Mapping[str, str]:
    """What nvidia-smi says of the first GPU; a name that says why where there is no answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {"name": "unknown: nvidia-smi is not installed"}
    command = [tool, "-i", "0", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True)
    values = [value.strip() for value in done.stdout.strip().split(",")]
    if done.returncode or len(values) != len(FIELDS):
        return {"name": f"unknown: {(done.stdout or done.stderr).strip()[:200]}"}
    return dict(zip(FIELDS, values, strict=True))


def line(network: str, engine: Engine) -> str:
    """One engine in one line, for the screen."""
    facts = [] if engine.build_s is None else [f"built in {engine.build_s} s"]
    if engine.latency is not None:
        facts.append(f"{engine.latency.median:.4f} ms")
    if engine.graph is not None:
        facts.append(f"{engine.graph.median:.4f} ms as a graph")
    if engine.problem is not None:
        facts.append(engine.problem)
    return f"{network}, {engine.name}: {', '.join(facts)}"


def left_out(networks: tuple[Measurement, ...]) -> tuple[str, ...]:
    """The engines for which the time did not suffice."""
    return tuple(
        f"{network.network}, {engine.name}"
        for network in networks
        for engine in network.engines
        if NO_TIME in (engine.problem or "")
    )


def main() -> None:
    """Measure one network after another."""
    start = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="what prepare.py wrote")
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--networks", nargs="*", help="these alone")
    parser.add_argument("--compiler", choices=("tensorrt", "tensorrt-rtx"), default=compiler())
    parser.add_argument("--budget", type=float, default=500.0, help="seconds that all may take")
    parser.add_argument("--no-gpu", action="store_true", help="build the engines only")
    arguments = parser.parse_args()
    bundle = Bundle.load(arguments.models)
    names = {network.name for network in bundle.networks}
    if unknown := set(arguments.networks or names) - names:
        parser.error(f"no network {', '.join(unknown)} in the bundle, but {', '.join(names)}")
    result = Result(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        machine=machine(),
        backend=arguments.compiler,
        bundle=bundle.onnxq,
        budget_s=arguments.budget,
    )
    bench = Bench(
        folder=arguments.models,
        compiler=arguments.compiler,
        budget=Budget(end=start + arguments.budget),
        runs=gpu() and not arguments.no_gpu,
    )
    for network in bundle.networks:
        if network.name not in (arguments.networks or names):
            continue
        networks = (*result.networks, bench.measurement(network))
        for engine in networks[-1].engines:
            print(line(network.name, engine), flush=True)
        now = {
            "networks": networks,
            "left_out": left_out(networks),
            "spent_s": round(time.monotonic() - start, 1),
        }
        result = result.model_copy(update=now)
        result.save(arguments.output)


if __name__ == "__main__":
    main()
