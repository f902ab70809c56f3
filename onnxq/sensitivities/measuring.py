"""Rank the pairs of a subject by the noise that each brings to the outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import starmap
from typing import Final

import numpy as np
import onnx

from onnxq.diagnostics import Diagnostic, warning
from onnxq.feeds.samples import Sample, Tensors
from onnxq.improvement.edits import Array
from onnxq.improvement.loss import Judge
from onnxq.improvement.subject import Subject
from onnxq.model.graph import Graph, Node
from onnxq.model.products import is_product, macs, runs_once
from onnxq.planning.plan import Pair
from onnxq.sensitivities.halving import by_halving, runs
from onnxq.sensitivities.judged import JudgedParts, OtherShapeError
from onnxq.sensitivities.sensitivity import (
    Estimator,
    Noise,
    OpNoise,
    PairNoise,
    Sensitivity,
    total_of,
)
from onnxq.sensitivities.switches import Switches
from onnxq.sessions import open_session, run
from onnxq.verification.shapes import Shapes, Sizes

MEASURED: Final = 14  # pairs that are measured after gradients ranked all
MEASURED_ON: Final = 8  # samples, at most
# Arguments: what is done, steps done, steps in all.
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranked:
    """Noise by pair (in the order of the scales) and part; which pairs were run, on how much."""

    noise: Array
    measured: frozenset[Pair]
    measured_on: int
    estimator: Estimator
    diagnostics: tuple[Diagnostic, ...] = ()


def measure(subject: Subject, judge: Judge, seed: int, progress: OnProgress) -> Sensitivity:
    """Rank all pairs of a subject on the samples of a judge.

    By gradients where torch has every operator, and the worst of them are measured then; by
    switches where not. Noise is that of a pair in the float model of the subject; the total is that
    of the Q/DQ model against the original.
    """
    progress("comparing", 0, len(judge.samples))
    parts = JudgedParts.of(judge)
    while True:
        try:
            total = noise_rows(judge, parts, subject.quantized(), progress).mean(axis=0)
            ranked = _Measuring(subject, judge, parts, seed, progress).ranked()
            break
        except OtherShapeError as other:
            parts = parts.without(other.output)
    pairs = _pairs(subject, ranked)
    sizes = sizes_of(subject, judge)
    return Sensitivity(
        model=subject.original.name,
        model_digest=subject.original.digest,
        plan_digest=subject.plan_digest,
        recipe=subject.plan.recipe,
        estimator=ranked.estimator,
        samples=len(judge.samples),
        measured_on=ranked.measured_on,
        parts=parts.names,
        pairs=tuple(sorted(pairs.values(), key=lambda pair: -pair.mean)),
        ops=tuple(_ops(subject, pairs, sizes, len(parts.names))),
        total=_floats(total),
        diagnostics=(*starmap(_left_out, parts.left_out), *ranked.diagnostics),
    )


def _left_out(name: str, why: str) -> Diagnostic:
    return warning(
        "OQ481",
        f"'{name}' {why}: no noise is compared with it",
        fix="nothing, if that is right; else give data on which the model gives something out",
    )


class _Measuring:
    """What both ways of ranking use."""

    def __init__(
        self,
        subject: Subject,
        judge: Judge,
        parts: JudgedParts,
        seed: int,
        progress: OnProgress,
    ) -> None:
        self.parts = parts
        self._subject, self._judge = subject, judge
        self._rng = np.random.default_rng(seed)
        self._progress = progress
        self._pairs = tuple(subject.scales.by_pair)
        self._expected: dict[int, Tensors] = {}

    def ranked(self) -> Ranked:
        """By gradients, else by switches."""
        if not self._pairs:
            return Ranked(
                noise=np.zeros((0, len(self.parts.names))),
                measured=frozenset(),
                measured_on=0,
                estimator="switches",
            )
        noise, why = self._by_gradients()
        return self._by_switches(why) if noise is None else self._with_worst_measured(noise)

    def _by_gradients(self) -> tuple[Array | None, str]:
        """The noise; or None and why there are no gradients."""
        if find_spec("torch") is None:
            return None, "torch is not installed (pip install 'onnxq[torch]')"
        from onnxq.sensitivities.gradients import by_gradients
        from onnxq.torch_graph.memory import TooLargeError
        from onnxq.torch_graph.parts import LackingError

        samples, done = self._judge.samples, iter(range(1, 1 << 30))
        step = lambda: self._progress("gradients", next(done), len(samples))  # noqa: E731
        try:
            noise = by_gradients(self._subject, samples, self.parts, self._rng, step)
        except LackingError as lack:
            name, why = next(iter(lack.nodes.items()))
            return None, f"onnxq has no gradient of {why} ('{name}')"
        except TooLargeError:
            return None, "gradients of a sample take more than 4 GiB"
        if (count := int(np.isnan(noise).any(axis=1).sum())) > MEASURED:
            return None, f"gradients of {count} pairs are not finite"
        return np.nan_to_num(noise, nan=np.inf), ""  # inf comes first: it is measured

    def _with_worst_measured(self, noise: Array) -> Ranked:
        order = np.argsort(-noise.mean(axis=1), kind="stable")
        worst = [int(i) for i in order[:MEASURED]]
        count = min(MEASURED_ON, len(self._judge.samples))
        switches = self._switches(self._pairs[i] for i in worst)
        for done, place in enumerate(worst):
            rows = [self._alone(switches, self._pairs[place], s) for s in range(count)]
            noise[place] = np.mean(rows, axis=0)
            self._progress("measuring", done + 1, len(worst))
        return Ranked(
            noise=noise,
            measured=frozenset(self._pairs[i] for i in worst),
            measured_on=count,
            estimator="gradients",
        )

    def _by_switches(self, why: str) -> Ranked:
        switches = self._switches(self._pairs)
        samples = len(self._judge.samples)
        done, expected = iter(range(1, 1 << 30)), runs(len(self._pairs), samples)

        def alone(number: int, sample: int) -> Array:
            noise = self._alone(switches, self._pairs[number], sample)
            self._progress("measuring", next(done), expected)
            return noise

        noise, counts = by_halving(len(self._pairs), samples, alone)
        most = int(counts.max())
        return Ranked(
            noise=noise,
            measured=frozenset(p for p, n in zip(self._pairs, counts, strict=True) if n == most),
            measured_on=most,
            estimator="switches",
            diagnostics=(
                warning(
                    "OQ480",
                    f"pairs are switched on one at a time: {why}",
                    fix="nothing needs mending: it takes longer, and small figures are less sure",
                ),
            ),
        )

    def _switches(self, pairs: Iterable[Pair]) -> Switches:
        outputs = list(self.parts.shares)
        return Switches(self._subject, outputs, set(pairs), self._judge.libraries)

    def _alone(self, switches: Switches, pair: Pair, sample: int) -> Array:
        outputs = switches.run(self._judge.samples[sample], {pair}, called=f"sample {sample + 1}")
        return self.parts.noise(self._float(switches, sample), outputs)

    def _float(self, switches: Switches, sample: int) -> Tensors:
        """The outputs of the same session with no pair on: they differ by the pair alone."""
        if sample not in self._expected:
            tensors = self._judge.samples[sample]
            self._expected[sample] = switches.run(tensors, (), called=f"sample {sample + 1}")
        return self._expected[sample]


def noise_rows(
    judge: Judge,
    parts: JudgedParts,
    quantized: onnx.ModelProto,
    progress: OnProgress = lambda stage, done, total: None,
) -> Array:
    """Noise power / signal power of a Q/DQ model: a row for each sample, a column for each part.

    Raises OtherShapeError where the shape of an output differs.
    """
    session = open_session(quantized, called="the Q/DQ model", libraries=judge.libraries)
    rows = []
    for number, (inputs, expected) in enumerate(
        zip(judge.samples, judge.references, strict=True), start=1
    ):
        sample = Sample(name=f"sample {number}", tensors=inputs, digest="")
        rows.append(parts.noise(expected, run(session, list(parts.shares), sample)))
        progress("comparing", number, len(judge.samples))
    return np.array(rows)


def _floats(noise: Array) -> Noise:
    return tuple(float(x) for x in noise)


def _pairs(subject: Subject, ranked: Ranked) -> dict[Pair, PairNoise]:
    return {
        pair: PairNoise(
            tensor=pair.tensor,
            kind=pair.kind,
            descriptor=pair.descriptor.text(pair.axis),
            nodes=tuple(dict.fromkeys(edge.node for edge in pair.edges)),
            noise=_floats(noise),
            is_measured=pair in ranked.measured,
        )
        for pair, noise in zip(subject.scales.by_pair, ranked.noise, strict=True)
    }


def _ops(
    subject: Subject,
    pairs: dict[Pair, PairNoise],
    sizes: Callable[[str], Sizes | None],
    parts: int,
) -> Iterable[OpNoise]:
    read_by: dict[str, list[PairNoise]] = {}
    for noise in pairs.values():
        for name in noise.nodes:
            read_by.setdefault(name, []).append(noise)
    for node in subject.graph.nodes:
        if not (reads := read_by.get(node.name)):
            continue
        activations = [pair for pair in reads if pair.kind == "activation"]
        weights = [pair for pair in reads if pair.kind == "weight"]
        others = {n for pair in activations for n in pair.nodes} - {node.name}
        yield OpNoise(
            node=node.name,
            op=node.op,
            activation=total_of([pair.noise for pair in activations], parts),
            weight=total_of([pair.noise for pair in weights], parts),
            shared=len(others),
            macs=_macs(subject.graph, node, sizes),
            weight_bytes=sum(subject.graph.array(pair.tensor).nbytes for pair in weights),
        )


def _macs(graph: Graph, node: Node, sizes: Callable[[str], Sizes | None]) -> int | None:
    if not is_product(graph, node):
        return 0
    return macs(sizes, node) if runs_once(graph, node) else None


def sizes_of(subject: Subject, judge: Judge) -> Callable[[str], Sizes | None]:
    """The sizes of tensors in a run on the first sample."""
    inputs = {name: tuple(array.shape) for name, array in judge.samples[0].items()}
    shapes = Shapes(subject.model, subject.graph, inputs, judge.libraries)
    products = (n for n in subject.graph.nodes if is_product(subject.graph, n))
    operands = (t for node in products for t in (*node.inputs, *node.outputs))
    shapes.observe(operands, judge.samples[0])
    return shapes.sizes
