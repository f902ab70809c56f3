"""Engines of a network: each built in a process, all run in one, and what their outputs lose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bundle
from bundle import FLOAT, EngineFile, Network
from measured import Engine, Latency, Measurement

from onnxq.cores import cores
from onnxq.diagnostics import OnnxqError
from onnxq.passed_arrays import load_arrays
from onnxq.verification import builder, tensorrt
from onnxq.verification.numeric.comparison import Totals
from onnxq.verification.tensorrt import CompileOptions, Compiler

WORKER = Path(__file__).with_name("on_gpu.py")
BUILD_S = 180.0  # the longest build
NO_TIME = "left out: the time was spent"
NO_GPU = "built, and not run: there is no GPU"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The moment when all must be done."""

    end: float

    @property
    def left(self) -> float:
        """Seconds that are left; 0 when none are."""
        return max(0.0, self.end - time.monotonic())


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A bundle on this machine; without `runs` engines are built only."""

    folder: Path
    compiler: Compiler
    budget: Budget
    runs: bool

    def measurement(self, network: Network) -> Measurement:
        """Build and run the engines of a network; what fails is a problem of its engine."""
        with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
            place = Path(folder)
            # TensorRT times kernels on the GPU while it builds, TensorRT-RTX does not.
            workers = cores() if self.compiler == "tensorrt-rtx" else 1
            with ThreadPoolExecutor(workers) as pool:
                built = list(pool.map(partial(self._built, network, place), network.engines))
            if not self.runs:
                return Measurement(network=network.name, engines=_with(built, problem=NO_GPU))
            return self._run(network, place, built)

    def _built(self, network: Network, place: Path, file: EngineFile) -> Engine:
        engine = Engine(name=file.name, digest=file.digest)
        limit = min(BUILD_S, self.budget.left)
        if not limit:
            return engine.model_copy(update={"problem": NO_TIME})
        path = bundle.model(self.folder, network.name, file.name)
        start = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="onnxq-") as copies:
                options = CompileOptions(compiler=self.compiler)
                job = tensorrt.job(path, options, Path(copies))
                target = {"engine": str(_engine(place, file.name))}
                rtx = self.compiler == "tensorrt-rtx"
                result = builder.build({**job, **target}, limit, rtx=rtx)
        except OnnxqError as failed:
            reason = failed.diagnostics[0]
            is_late = reason.code == "OQ661" and limit < BUILD_S
            problem = NO_TIME if is_late else f"not built: {reason.message}"
            return engine.model_copy(update={"problem": problem[:300]})
        seconds = round(time.monotonic() - start, 1)
        sizes = {"build_s": seconds, "engine_bytes": int(result["engine_bytes"])}
        return engine.model_copy(update=sizes)

    def _run(self, network: Network, place: Path, built: Sequence[Engine]) -> Measurement:
        names = [engine.name for engine in built if engine.problem is None]
        samples = [str(path.absolute()) for path in bundle.samples(self.folder, network)]
        results, log = run(place, names, samples, self.compiler, self.budget)
        engines = [
            self._with_figures(network, engine, results[engine.name], place / "outputs")
            if engine.name in results
            else engine
            for engine in built
        ]
        return Measurement(network=network.name, engines=tuple(engines), log=log)

    def _with_figures(
        self, network: Network, engine: Engine, result: Mapping[str, Any], outputs: Path
    ) -> Engine:
        figures: dict[str, Any] = {
            kind: Latency.of(result[kind]) for kind in ("latency", "graph") if result.get(kind)
        }
        figures["problem"] = result.get("problem")
        if "latency" in figures:
            of_own = bundle.expected(self.folder, network, engine.name)
            figures["same_db"] = sqnr_db(of_own, outputs / engine.name)
            if network.kind == "model":
                of_float = bundle.expected(self.folder, network, FLOAT)
                figures["float_db"] = sqnr_db(of_float, outputs / engine.name)
        return engine.model_copy(update=figures)


def run(
    place: Path, names: Sequence[str], samples: Sequence[str], compiler: Compiler, budget: Budget
) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """What the engines of a folder give by name, and the log of a run that failed.

    When the process that runs all of them crashes, each is run alone: their times are then not
    measured in turns, and their problem says so where they have no other.
    """
    results, log = _process(place, names, samples, compiler, budget)
    if results is not None:
        return results, log if any(r.get("problem") for r in results.values()) else ()
    if not budget.left or len(names) < 2:
        why = log[-1] if log and budget.left else NO_TIME
        return {name: {"problem": f"not run: {why}"[:300]} for name in names}, log
    alone: dict[str, dict[str, Any]] = {}
    for name in names:
        alone |= run(place, [name], samples, compiler, budget)[0]
        alone[name].setdefault("problem", "timed alone: the run of all engines crashed")
    return alone, log


def _process(
    place: Path, names: Sequence[str], samples: Sequence[str], compiler: Compiler, budget: Budget
) -> tuple[dict[str, dict[str, Any]] | None, tuple[str, ...]]:
    """The result of the worker and the end of its log; None when it crashed or took too long."""
    if not names:
        return {}, ()
    if not budget.left:
        return None, ()
    job_path, result_path = place / "job.json", place / "result.json"
    result_path.unlink(missing_ok=True)
    engines = {name: str(_engine(place, name)) for name in names}
    job = {"engines": engines, "samples": samples, "outputs": str(place / "outputs")}
    job_path.write_text(json.dumps(job), "utf-8")
    command = [sys.executable, str(WORKER), str(job_path), str(result_path)]
    rtx = "1" if compiler == "tensorrt-rtx" else "0"
    with (place / "log.txt").open("w") as log:
        try:
            code = subprocess.run(
                command,
                stdout=log,
                stderr=log,
                timeout=budget.left,
                env={**os.environ, "POLYGRAPHY_USE_TENSORRT_RTX": rtx},
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
    text = (place / "log.txt").read_text("utf-8", "replace")
    lines = tuple(line.strip()[:300] for line in text.splitlines() if line.strip())[-20:]
    if not result_path.exists():
        return None, (*lines, "it took too long" if code is None else f"exit code {code}")
    return json.loads(result_path.read_text("utf-8")), lines


def sqnr_db(expected: Sequence[Path], folder: Path) -> dict[str, float]:
    """SQNR in dB of every output over the samples, of those that both have and that are float."""
    totals: dict[str, Totals] = {}
    for path in expected:
        computed = load_arrays(folder / path.name)
        for name, reference in load_arrays(path).items():
            if name in computed:
                totals.setdefault(name, Totals(name)).add(path.stem, reference, computed[name])
    figures = {name: total.result().sqnr_db for name, total in totals.items()}
    return {name: round(db, 2) for name, db in figures.items() if db is not None}


def _engine(place: Path, name: str) -> Path:
    return place / f"{name}.engine"


def _with(engines: Sequence[Engine], *, problem: str) -> tuple[Engine, ...]:
    """The engines, each with a problem unless it has one."""
    return tuple(e.model_copy(update={"problem": e.problem or problem}) for e in engines)
