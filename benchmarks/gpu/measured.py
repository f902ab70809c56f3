"""What measure.py found on a machine: one JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bundle import Strict
from pydantic import Field


class Latency(Strict):
    """Milliseconds of one inference between two CUDA events, in `runs` of them."""

    median: float
    p10: float
    p90: float
    runs: int

    @classmethod
    def of(cls, times: Sequence[float]) -> Latency:
        """Of single times in milliseconds."""
        p10, median, p90 = (round(float(t), 5) for t in np.quantile(times, (0.1, 0.5, 0.9)))
        return cls(median=median, p10=p10, p90=p90, runs=len(times))


class Engine(Strict):
    """One engine; what is None was not measured, and `problem` says why in one line.

    `latency` is that of a launch from the host, `graph` that of a CUDA graph, whose kernels wait
    for no launches; both have inputs and outputs on the GPU. `same_db` is the SQNR in dB of each
    output against onnxruntime on the same file, `float_db` against the float model there.
    """

    name: str
    digest: str
    build_s: float | None = None
    engine_bytes: int | None = None
    latency: Latency | None = None
    graph: Latency | None = None
    same_db: dict[str, float] = Field(default_factory=dict)
    float_db: dict[str, float] = Field(default_factory=dict)
    problem: str | None = None


class Measurement(Strict):
    """The engines of a network; `log` is the end of what TensorRT said when a run failed."""

    network: str
    engines: tuple[Engine, ...]
    log: tuple[str, ...] = ()

    @property
    def by_name(self) -> dict[str, Engine]:
        """The engines by name."""
        return {engine.name: engine for engine in self.engines}


class Machine(Strict):
    """Where it ran. `gpu` is what nvidia-smi says, none without a GPU; `versions` of packages."""

    processor: str
    cores: int
    python: str
    gpu: dict[str, str]
    versions: dict[str, str]


class Result(Strict):
    """One run; `left_out` names networks and engines for which the seconds did not suffice."""

    date: str
    machine: Machine
    backend: str
    bundle: str
    budget_s: float
    spent_s: float = 0.0
    networks: tuple[Measurement, ...] = ()
    left_out: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Result:
        """The result in a file."""
        return cls.model_validate_json(path.read_text("utf-8"))

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        part = path.with_suffix(".part")
        part.write_text(self.model_dump_json(indent=1, exclude_none=True) + "\n", "utf-8")
        part.replace(path)
