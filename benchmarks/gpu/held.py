"""A result beside what the cost model predicts, and the figures that hold one against the other."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from bundle import FLOAT, Strict
from measured import Engine, Measurement, Result

sys.path.append(str(Path(__file__).parents[1]))
from correlation import spearman

RESULTS = Path(__file__).parent / "results"
Timing = Literal["latency", "graph"]
TIMINGS: tuple[Timing, ...] = ("latency", "graph")
PLACEMENTS = "placements"
FP16, PEER = "fp16", "modelopt-entropy"


class Predicted(Strict):
    """The least milliseconds of an engine by the cost model, or why there is no such figure."""

    ms: float | None = None
    problem: str | None = None


class Ratio(Strict):
    """An INT8 engine by the FP16 engine of the same model."""

    network: str
    engine: str
    predicted: float
    measured: float

    @property
    def agrees(self) -> bool:
        """True when both say the same of which is faster."""
        return (self.predicted < 1) == (self.measured < 1)


class Goal(Strict):
    """The fastest INT8 engine of onnxq by that of ModelOpt and by FP16; None if not measured."""

    network: str
    engine: str
    by_peer: float | None
    by_fp16: float | None

    @property
    def is_reached(self) -> bool | None:
        """Under 0.95 of ModelOpt's time and under that of FP16; None when one is unknown."""
        if self.by_peer is None or self.by_fp16 is None:
            return None
        return self.by_peer < 0.95 and self.by_fp16 < 1


class Held(Strict):
    """A result, the row of onnxq/cost/gpus.yaml, and the predictions by network and engine."""

    gpu: str
    onnxq: str
    result: Result
    predicted: dict[str, dict[str, Predicted]]

    @property
    def models(self) -> tuple[str, ...]:
        """The networks that are trained models."""
        return tuple(n.network for n in self.result.networks if n.network != PLACEMENTS)

    def correlation(self, networks: Sequence[str], timing: Timing) -> tuple[float, int]:
        """Spearman's, of all engines of these networks, and how many engines that are."""
        pairs = [pair for name in networks for pair in self._pairs(name, timing)]
        if len(pairs) < 3:
            return float("nan"), len(pairs)
        return spearman(*zip(*pairs, strict=True)), len(pairs)

    def _pairs(self, network: str, timing: Timing) -> Iterator[tuple[float, float]]:
        for engine in self.measurement(network).engines:
            predicted, measured = self.ms(network, engine.name), time_of(engine, timing)
            if predicted is not None and measured is not None:
                yield predicted, measured

    def ratios(self, timing: Timing) -> Iterator[Ratio]:
        """The INT8 engines by FP16, of every network where all four times are known."""
        for measurement in self.result.networks:
            name, engines = measurement.network, measurement.by_name
            base = self.ms(name, FP16), FP16 in engines and time_of(engines[FP16], timing)
            for engine in engines.values():
                own = self.ms(name, engine.name), time_of(engine, timing)
                if engine.name not in (FLOAT, FP16) and all((*base, *own)):
                    predicted, measured = (o / b for o, b in zip(own, base, strict=True))
                    yield Ratio(
                        network=name, engine=engine.name, predicted=predicted, measured=measured
                    )

    def goals(self, timing: Timing) -> Iterator[Goal]:
        """The goal of every model of which an INT8 engine of onnxq ran."""
        for name in self.models:
            times = {e.name: time_of(e, timing) for e in self.measurement(name).engines}
            own = {n: t for n, t in times.items() if n.startswith("int8") and t is not None}
            if own:
                best = min(own, key=own.__getitem__)
                others = {n: t for n in (PEER, FP16) if (t := times.get(n)) is not None}
                by = {n: own[best] / t for n, t in others.items()}
                yield Goal(network=name, engine=best, by_peer=by.get(PEER), by_fp16=by.get(FP16))

    def ms(self, network: str, engine: str) -> float | None:
        """The predicted time."""
        return self.predicted.get(network, {}).get(engine, Predicted()).ms

    def measurement(self, network: str) -> Measurement:
        """The measurement of a network."""
        return next(m for m in self.result.networks if m.network == network)

    def save(self, folder: Path = RESULTS) -> Path:
        """Write a record, whole or not at all, named after the GPU and the compiler."""
        folder.mkdir(exist_ok=True)
        path = folder / f"{'-'.join(self.gpu.lower().split())}-{self.result.backend}.json"
        part = path.with_suffix(".part")
        part.write_text(self.model_dump_json(indent=1, exclude_none=True) + "\n", "utf-8")
        part.replace(path)
        return path


def load(folder: Path = RESULTS) -> list[Held]:
    """All records of a folder."""
    paths = sorted(folder.glob("*.json"))
    return [Held.model_validate_json(path.read_text("utf-8")) for path in paths]


def time_of(engine: Engine, timing: Timing) -> float | None:
    """The median in milliseconds."""
    latency = getattr(engine, timing)
    return None if latency is None else latency.median


def problems(result: Result) -> dict[str, list[str]]:
    """What was not measured: the engines by the reason."""
    reasons: dict[str, list[str]] = {}
    for network in result.networks:
        for engine in network.engines:
            if engine.problem is not None:
                reasons.setdefault(engine.problem, []).append(f"{network.network}, {engine.name}")
    return reasons


def counts(result: Result) -> Counter[str]:
    """How many engines were built, and how many ran, of 'all'."""
    engines = [engine for network in result.networks for engine in network.engines]
    return Counter(
        all=len(engines),
        built=sum(engine.engine_bytes is not None for engine in engines),
        ran=sum(engine.latency is not None for engine in engines),
    )
