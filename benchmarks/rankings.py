"""Pairs ranked in several ways, and the truth that they are held against.

Noise is noise power / signal power of the outputs, the mean over their parts, in the order of the
scales of the subject.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from unittest.mock import patch

import numpy as np

from onnxq import sessions
from onnxq.feeds.samples import Sample
from onnxq.improvement.loss import Judge
from onnxq.improvement.subject import Subject
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.planning.plan import Pair
from onnxq.quantization import dequantize, quantize
from onnxq.sensitivities import measuring
from onnxq.sensitivities.judged import JudgedParts
from onnxq.sensitivities.sensitivity import Sensitivity
from onnxq.sensitivities.switches import Switches

LEFT_OUT_ON = 4  # samples: with more of them leave-one-out takes longer than all else
WORST = 10


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The noise of every pair by one way; what it took in CPU seconds, and in runs with pairs."""

    noise: np.ndarray
    cpu_s: float
    runs: int = 0
    samples: int
    sensitivity: Sensitivity | None = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch and every session of onnxruntime compute with one thread."""
    import torch

    torch.set_num_threads(1)
    options = sessions._options
    with patch.object(sessions, "_options", lambda _, **others: options(1, **others)):
        yield


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A subject with the samples to rank its pairs on."""

    subject: Subject
    judge: Judge

    @cached_property
    def _pairs(self) -> tuple[Pair, ...]:
        return tuple(self.subject.scales.by_pair)

    @cached_property
    def _parts(self) -> JudgedParts:
        return JudgedParts.of(self.judge)

    @cached_property
    def _switches(self) -> Switches:
        return Switches(self.subject, list(self._parts.shares), self._pairs)

    def plain_cpu_s(self) -> float:
        """What one inference of every sample by the float model takes, the median of five."""
        session = sessions.open_session(self.subject.model)
        names = list(self.judge.references[0])
        timed = [_cpu_s(lambda: self._infer(session, names))[0] for _ in range(6)]
        return float(np.median(timed[1:]))

    def truth(self) -> Ranking:
        """Every pair alone, on all samples."""
        numbers = range(len(self.judge.samples))
        cpu_s, noise = _cpu_s(
            lambda: [[self._noise({pair}, s) for s in numbers] for pair in self._pairs]
        )
        runs = len(numbers) * len(self._pairs)
        return Ranking(noise=np.mean(noise, axis=1), cpu_s=cpu_s, runs=runs, samples=len(numbers))

    def rankings(self) -> dict[str, Ranking]:
        """By each way that the benchmark compares."""
        ways = {
            "gradients": self.measured,
            "unmeasured": self._differentiated,
            "switches": self._switched,
            "leave-one-out": self._left_out,
            "local": self._local,
        }
        return {name: rank() for name, rank in ways.items()}

    def measured(self) -> Ranking:
        """As `onnxq sensitivity` ranks."""
        judge = replace(self.judge)  # which has run nothing yet
        steps = []
        cpu_s, result = _cpu_s(
            lambda: measuring.measure(self.subject, judge, 0, lambda *step: steps.append(step))
        )
        alone = result.measured_on * sum(pair.is_measured for pair in result.pairs)
        runs = sum(stage == "measuring" for stage, *_ in steps)
        by_key = {(p.tensor, p.kind, p.nodes): p.mean for p in result.pairs}
        return Ranking(
            noise=np.array([by_key[_key(pair)] for pair in self._pairs]),
            cpu_s=cpu_s,
            runs=runs if result.estimator == "switches" else alone,
            samples=len(judge.samples),
            sensitivity=result,
        )

    def _differentiated(self) -> Ranking:
        """By the gradients of that alone, without measuring the worst."""
        from onnxq.sensitivities.gradients import by_gradients

        rng, samples = np.random.default_rng(0), self.judge.samples
        arguments = self.subject, samples, self._parts, rng, lambda: None
        cpu_s, noise = _cpu_s(lambda: by_gradients(*arguments))
        return Ranking(noise=noise.mean(axis=1), cpu_s=cpu_s, samples=len(samples))

    def _switched(self) -> Ranking:
        """As `onnxq sensitivity` ranks where torch is not installed."""
        with patch.object(measuring, "find_spec", return_value=None):
            ranking = self.measured()
        assert ranking.sensitivity.estimator == "switches"
        return ranking

    def _left_out(self) -> Ranking:
        """How much noise goes away when a pair is left out and all others stay."""
        numbers, whole = range(min(LEFT_OUT_ON, len(self.judge.samples))), set(self._pairs)

        def less() -> list[float]:
            noise = [np.mean([self._noise(whole - {p}, s) for s in numbers]) for p in self._pairs]
            return np.mean([self._noise(whole, s) for s in numbers]) - noise

        cpu_s, noise = _cpu_s(less)
        runs = len(numbers) * len(self._pairs)
        return Ranking(noise=noise, cpu_s=cpu_s, runs=runs, samples=len(numbers))

    def _local(self) -> Ranking:
        """Noise power / signal power of the tensors of the pairs themselves."""
        cpu_s, noise = _cpu_s(lambda: [self._own(pair) for pair in self._pairs])
        return Ranking(noise=np.array(noise), cpu_s=cpu_s, samples=len(self.judge.samples))

    def _own(self, pair: Pair) -> float:
        arrays = self._activations[pair.tensor] if pair.kind == "activation" else None
        arrays = [self.subject.graph.array(pair.tensor)] if arrays is None else arrays
        errors = [self._rounded(pair, x).astype(np.float64) - x for x in arrays]
        power = sum(float(np.square(x, dtype=np.float64).sum()) for x in arrays)
        return sum(float(np.square(e).sum()) for e in errors) / power if power else 0.0

    def _rounded(self, pair: Pair, x: np.ndarray) -> np.ndarray:
        scale, form = self.subject.scales.by_pair[pair], pair.descriptor
        blocks = {"axis": pair.axis, "block_size": form.block_size}
        stored = quantize(x, scale, narrow_range=form.narrow_range, dtype=form.dtype, **blocks)
        return dequantize(stored, scale, **blocks)

    @cached_property
    def _activations(self) -> dict[str, list[np.ndarray]]:
        """The values of the activations with pairs, in all samples."""
        tensors = {pair.tensor for pair in self._pairs if pair.kind == "activation"}
        inner = [name for name in tensors if name not in self.subject.graph.inputs]
        session = sessions.open_session(with_inner_outputs(self.subject.model, inner))
        rows = self._infer(session, inner)
        return {name: [np.array(row[name]) for row in rows] for name in tensors}

    def _noise(self, on: set[Pair], sample: int) -> float:
        inputs, expected = self.judge.samples[sample], self.judge.references[sample]
        outputs = self._switches.run(inputs, on, called="a sample")
        return float(self._parts.noise(expected, outputs).mean())

    def _infer(self, session: object, outputs: list[str]) -> list[dict[str, np.ndarray]]:
        samples = [Sample(name="a sample", tensors=s, digest="") for s in self.judge.samples]
        return [sessions.run(session, outputs, sample) for sample in samples]


def in_common(one: np.ndarray, other: np.ndarray) -> int:
    """How many of the worst ten are the same."""
    worst = [set(np.argsort(-noise)[:WORST]) for noise in (one, other)]
    return len(worst[0] & worst[1])


def _key(pair: Pair) -> tuple[str, str, tuple[str, ...]]:
    return pair.tensor, pair.kind, tuple(dict.fromkeys(edge.node for edge in pair.edges))


def _cpu_s(work: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result
