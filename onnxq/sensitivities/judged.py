"""The noise of outputs, each part by the power of its own values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from onnxq.diagnostics import counted, error
from onnxq.feeds.samples import Tensors
from onnxq.improvement.edits import Array
from onnxq.improvement.loss import Judge, Shares


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedParts:
    """All parts of all float outputs that have power, in a fixed order.

    `left_out` has what has no figure, each by its name with the reason.
    """

    shares: Mapping[str, Shares]
    left_out: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, judge: Judge) -> JudgedParts:
        """The parts that a judge compares (OQ481 where there are none)."""
        parts = cls(shares=judge.shares, left_out=tuple(_left_out(judge)))
        if not parts.names:
            raise error(
                "OQ481",
                f"no output has a finite value but 0 in {counted(len(judge.samples), 'sample')}: "
                "noise has no signal to be compared with",
                fix="give data on which the float model gives something out",
            )
        return parts

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name for each part: that of its output where it is the whole."""
        return tuple(self._index)

    @cached_property
    def _index(self) -> dict[str, int]:
        names: list[str] = []
        for output, share in self.shares.items():
            names += [part.name for part, power in share.parts if power > 0]
            if share.rest > 0:
                names.append(f"rest of {output}" if share.parts else output)
        return {name: i for i, name in enumerate(names)}

    def weights(self, output: str, shape: tuple[int, ...]) -> list[tuple[int, Array]]:
        """The places of the parts of an output, with 1 / (power * number) of their values."""
        share = self.shares[output]
        rest = f"rest of {output}" if share.parts else output
        named = ((name or rest, weights) for name, weights in share.apart(shape))
        return [(self._index[name], w) for name, w in named if name in self._index]

    def noise(self, expected: Tensors, outputs: Tensors) -> Array:
        """Noise power / signal power of each part in one sample.

        Values that are not finite in `expected` do not count; of `outputs` they make inf.
        """
        result = np.zeros(len(self.names))
        with np.errstate(invalid="ignore", over="ignore"):  # inf - inf, and 0 * inf
            for output in self.shares:
                wanted = np.asarray(expected[output], np.float64)
                square = np.square(np.asarray(outputs[output], np.float64) - wanted)
                square = np.where(np.isfinite(wanted), np.nan_to_num(square, nan=np.inf), 0)
                for place, weights in self.weights(output, wanted.shape):
                    result[place] += np.nansum(weights * square)
        return result


def _left_out(judge: Judge) -> Iterator[tuple[str, str]]:
    why = "has no finite value but 0 in any sample"
    for output, share in judge.shares.items():
        yield from ((part.name, why) for part, power in share.parts if not power)
        if not share.parts and not share.rest:
            yield output, why
    for part in judge.parts:
        if part.output not in judge.shares:
            yield part.name, f"is of '{part.output}', which is not float"
