"""Runs the engines of one network on the GPU, in a process of its own because TensorRT may crash.

    python on_gpu.py job.json result.json

The job is {"engines": {name: file}, "samples": [file, ..], "outputs": folder}. The outputs of every
sample are then in outputs/NAME/N.npz; the result has by name {"latency": [ms, ..], "graph": [ms,
..]} and {"problem": text} for what failed. POLYGRAPHY_USE_TENSORRT_RTX chooses the library.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxq.compiler import worker
from onnxq.passed_arrays import load_arrays, save_arrays

WARM_UP_S = 2.0  # an idle GPU has a low clock
ROUNDS, BLOCK = 30, 10
Launch = Callable[[], object]


class Timer:
    """CUDA events and graphs, by the runtime library that Polygraphy loads."""

    def __init__(self) -> None:
        from polygraphy import cuda

        self._cuda = cuda.wrapper().handle
        self._cuda.cudaGetErrorString.restype = ctypes.c_char_p
        self._start, self._stop = ctypes.c_void_p(), ctypes.c_void_p()
        for event in (self._start, self._stop):
            self._call("cudaEventCreate", ctypes.byref(event))

    def milliseconds(self, stream: int, launch: Launch) -> float:
        """The time between an event before the launch and one behind it."""
        elapsed = ctypes.c_float()
        self._call("cudaEventRecord", self._start, ctypes.c_void_p(stream))
        launch()
        self._call("cudaEventRecord", self._stop, ctypes.c_void_p(stream))
        self._call("cudaEventSynchronize", self._stop)
        self._call("cudaEventElapsedTime", ctypes.byref(elapsed), self._start, self._stop)
        return elapsed.value

    def graph(self, stream: int, launch: Launch) -> Launch:
        """The kernels of a launch as a graph: a function that launches them all at once."""
        graph, ready = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cudaStreamBeginCapture", ctypes.c_void_p(stream), ctypes.c_int(2))  # relaxed
        try:
            launch()
        finally:
            self._call("cudaStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
        self._call("cudaGraphInstantiate", ctypes.byref(ready), graph, ctypes.c_ulonglong(0))
        return lambda: self._call("cudaGraphLaunch", ready, ctypes.c_void_p(stream))

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._cuda, name)(*arguments)
        if status:
            said = self._cuda.cudaGetErrorString(status).decode()
            raise RuntimeError(f"{name}: {said} ({status})")


def interleaved(
    timed: Mapping[str, Callable[[], float]], rounds: int = ROUNDS, block: int = BLOCK
) -> dict[str, list[float]]:
    """Times of several by name, measured in turns, so that a change of clock meets all alike.

    Every round begins with another one. In each block the first time does not count: the weights of
    the engine before are in the cache.
    """
    times: dict[str, list[float]] = {name: [] for name in timed}
    names = list(timed)
    for number in range(rounds if names else 0):
        turn = number % len(names)
        for name in (*names[turn:], *names[:turn]):
            timed[name]()
            times[name].extend(timed[name]() for _ in range(block))
    return times


def find_runtime() -> None:
    """Let Polygraphy find the CUDA runtime of NVIDIA's wheel for CUDA 13, new to it."""
    spec = importlib.util.find_spec("nvidia")
    places = spec.submodule_search_locations if spec and spec.submodule_search_locations else ()
    libraries = [f for place in places for f in Path(place).glob("*/lib/libcudart.so*")]
    folders = [str(library.parent) for library in libraries]
    known = os.environ.get("LD_LIBRARY_PATH", "")
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, (*folders, known)))


def run(job: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Write the outputs of every engine, then time all of them in turns."""
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner

    results: dict[str, dict[str, Any]] = {name: {} for name in job["engines"]}
    launches: dict[str, tuple[int, Launch]] = {}
    with contextlib.ExitStack() as stack:
        for name, file in job["engines"].items():
            with _failing(results[name]):
                engine = EngineFromBytes(Path(file).read_bytes())
                runner = stack.enter_context(TrtRunner(engine))
                _infer(runner, job["samples"], Path(job["outputs"]) / name)
                launches[name] = runner.stream.ptr, _launch(runner)
        if launches:
            _time(launches, results)
    return results


def _infer(runner: Any, samples: Sequence[str], folder: Path) -> None:
    folder.mkdir(parents=True)
    for index, path in enumerate(samples):
        save_arrays(folder / f"{index}.npz", runner.infer(load_arrays(path)))


def _launch(runner: Any) -> Launch:
    """Compute the last sample again, whose addresses the context still has."""

    def launch() -> None:
        if not runner.context.execute_async_v3(runner.stream.ptr):
            raise RuntimeError("TensorRT could not launch the engine")

    return launch


def _time(
    launches: Mapping[str, tuple[int, Launch]], results: Mapping[str, dict[str, Any]]
) -> None:
    timer = Timer()

    def timed(stream: int, launch: Launch) -> Callable[[], float]:
        return lambda: timer.milliseconds(stream, launch)

    plain = {name: timed(*how) for name, how in launches.items()}
    end = time.monotonic() + WARM_UP_S
    while time.monotonic() < end:
        interleaved(plain, rounds=1)
    for name, times in interleaved(plain).items():
        results[name]["latency"] = times
    graphs = {}
    for name, (stream, launch) in launches.items():
        with _failing(results[name], "no CUDA graph: "):
            graphs[name] = timed(stream, timer.graph(stream, launch))
            graphs[name]()
    for name, times in interleaved(graphs).items():
        results[name]["graph"] = times


@contextlib.contextmanager
def _failing(result: dict[str, Any], where: str = "") -> Iterator[None]:
    """Keep an exception as the problem of one engine: the others go on."""
    try:
        yield
    except Exception as reason:
        lines = str(reason).split("\n")
        result["problem"] = f"{where}{type(reason).__name__}: {lines[0]}"[:300]


def main(job_path: str, result_path: str) -> None:
    """Do the job of a file."""
    from polygraphy import config

    find_runtime()
    trt = importlib.import_module("tensorrt_rtx" if config.USE_TENSORRT_RTX else "tensorrt")
    worker.listen(trt, [])
    results = run(json.loads(Path(job_path).read_text("utf-8")))
    Path(result_path).write_text(json.dumps(results), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
