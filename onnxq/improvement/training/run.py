"""Learning from the first block to the last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import onnx

from onnxq.improvement.edits import Edits
from onnxq.improvement.improver import State, Work
from onnxq.improvement.training.blocks import Block, blocks
from onnxq.improvement.training.importance import Weights, by_gradients, by_power
from onnxq.improvement.training.parameters import RATES, Parameters
from onnxq.improvement.training.steps import (
    Schedule,
    Task,
    batch_of,
    error_of,
    together,
    train,
)
from onnxq.improvement.training.values import Values, affordable, parts_of
from onnxq.model.graph import Graph
from onnxq.torch_graph.operators import lacking
from onnxq.torch_graph.parts import Part, Tensors, TorchGraph

PRODUCTS: Final = 3  # of a block, up to twice as many
STEPS: Final = 100  # for each block
_HELD: Final = 4  # every fourth sample says which state is best
_POWERS: Final = 8  # samples that give the power of the parts of outputs
_DONE: Final = "blocks"  # in a state: how many blocks are trained


class LearningRun:
    """One run of `Learn`."""

    def __init__(self, work: Work, *, products: int = PRODUCTS, steps: int = STEPS) -> None:
        self._work, self._steps = work, steps
        subject = work.subject
        self._exact = work.expected
        self._parameters = Parameters(subject, work.targets)
        graph = self._parameters.graph
        self._blocks = blocks(graph, products, lambda node: bool(lacking(node)))
        self._parts = parts_of(TorchGraph(graph, self._parameters.pairs), self._blocks)
        self._floats = parts_of(TorchGraph(Graph(self._exact)), self._blocks)
        self._samples = affordable(work.fitting, self._blocks, self._exact, work.judge.libraries)
        held = range(0, len(self._samples), _HELD)
        fit = [i for i in range(len(self._samples)) if i % _HELD]
        self._split = (fit, list(held)) if fit else (list(held), list(held))
        self._notes: dict[str, str] = {}

    def result(self) -> Edits:
        """Train every block; what `Work.keep` got is gone on from."""
        done = self._resumed(self._work.state)
        libraries = self._work.judge.libraries
        values = Values(self._samples, self._exact, self._parameters, libraries)
        weights = self._weights(values.exact) if done < len(self._blocks) else None
        for place, block in enumerate(self._blocks):
            part = self._parts[place]
            values.compute_exact(block, self._floats[place])
            if place >= done and part is not None:
                self._train(place, block, part, values, weights)
                if weights is None:
                    self._note_lack(block)
                self._work.keep(self._state(place + 1))
            values.compute_rounded(block, part, self._quantized)
            values.forget(self._blocks[place + 1 :])
            self._progress(place, self._steps)
        edits = self._parameters.edits()
        return Edits(
            constants=edits.constants,
            biases=edits.biases,
            scales=edits.scales,
            notes=self._notes,
        )

    def _weights(self, samples: Sequence[Tensors]) -> list[Weights] | None:
        if not self._parameters.scales:
            return None
        few = replace(self._work.judge, samples=self._work.fitting[:_POWERS])
        rng = np.random.default_rng(self._work.seed)
        return by_gradients(
            samples, self._blocks, self._floats, few.shares, rng, lambda: self._progress(0, 0)
        )

    def _train(
        self, place: int, block: Block, part: Part, values: Values, weights: list[Weights] | None
    ) -> None:
        trained = self._parameters.of(block.nodes)
        wanted = [{n: v[n] for n in block.outputs} for v in values.exact]
        error = (weights and error_of(wanted, weights)) or error_of(wanted, by_power(wanted))
        if not trained["scale"] or error is None:
            return
        inputs = [{n: v[n] for n in block.inputs} for v in values.rounded]
        task = Task(
            part=part,
            inputs=inputs,
            wanted=wanted,
            error=error,
            together=together(part, inputs),
        )
        before, after = train(
            task,
            self._parameters,
            trained,
            self._split,
            Schedule(steps=self._steps, rates=RATES, batch=batch_of(inputs, wanted)),
            np.random.default_rng((self._work.seed, place)),
            lambda step: self._progress(place, step),
        )
        self._note(block, before, after)

    def _note(self, block: Block, before: float, after: float) -> None:
        if 0 < after < before:
            gain = f"its block gained {10 * math.log10(before / after):.2f} dB"
            self._notes |= {name: gain for name in self._work.targets if name in block.nodes}

    def _note_lack(self, block: Block) -> None:
        """Say that outputs have no say in what a block learns."""
        for name in self._notes.keys() & block.nodes:
            self._notes[name] += (
                "; its noise counts by its own power, as torch lacks an operator of the model or "
                "gradients of a sample take more than 4 GiB"
            )

    def _progress(self, place: int, step: int) -> None:
        done = place * self._steps + step
        self._work.progress(done, len(self._blocks) * self._steps)

    def _quantized(self) -> onnx.ModelProto:
        return self._work.subject.edited(self._parameters.edits()).quantized()

    def _state(self, done: int) -> State:
        return {_DONE: np.array(done, np.float32), **self._parameters.arrays()}

    def _resumed(self, state: State) -> int:
        if not state:
            return 0
        self._parameters.restore(state)
        return int(state[_DONE])
