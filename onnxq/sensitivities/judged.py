"""The noise of outputs, each part by the power of its own values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from onnxq.diagnostics import counted, error
from onnxq.feeds.samples import Tensors
from onnxq.improvement.edits import Array
from onnxq.improvement.loss import Judge, Shares
from onnxq.model.influence import RowOrder, row_orders
from onnxq.verification.numeric.row_matcher import aligned


class OtherShapeError(ValueError):
    """`output` has another shape in the other run."""

    def __init__(self, output: str) -> None:
        self.output = output
        super().__init__(output)


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedParts:
    """All parts of all float outputs that have power, in a fixed order.

    `left_out` has what has no figure, each by its name with the reason.
    """

    shares: Mapping[str, Shares]
    orders: Mapping[str, RowOrder]
    left_out: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, judge: Judge) -> JudgedParts:
        """The parts that a judge compares (OQ481 where there are none)."""
        orders = {n: o for n, o in row_orders(judge.graph).items() if n in judge.shares}
        parts = cls(shares=judge.shares, orders=orders, left_out=tuple(_left_out(judge)))
        return parts._with_names(f"finite values but 0 in {counted(len(judge.samples), 'sample')}")

    def without(self, output: str) -> JudgedParts:
        """The other parts, where an output changes its shape (OQ481 where there are none)."""
        shares = {name: share for name, share in self.shares.items() if name != output}
        left_out = (*self.left_out, (output, "has another shape with pairs than without"))
        return replace(self, shares=shares, left_out=left_out)._with_names("a shape that stays")

    def _with_names(self, lacking: str) -> JudgedParts:
        if self.names:
            return self
        raise error(
            "OQ481",
            f"no float output has {lacking}: noise has no signal to be compared with",
            fix="give data on which the float model gives something out, or let it give out what "
            "stands before its last ops",
        )

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

        Values that are not finite in `expected` do not count; of `outputs` they make inf. Rows that
        TopK or NonMaxSuppression sorts are matched; one without a counterpart is noise as a whole.
        Raises OtherShapeError where the shape of an output differs.
        """
        outputs = {**outputs, **self._in_order(expected, outputs)}
        result = np.zeros(len(self.names))
        with np.errstate(invalid="ignore", over="ignore"):  # inf - inf, and 0 * inf
            for output in self.shares:
                wanted = np.asarray(expected[output], np.float64)
                if wanted.shape != outputs[output].shape:
                    raise OtherShapeError(output)
                square = np.square(np.asarray(outputs[output], np.float64) - wanted)
                square = np.where(
                    np.isfinite(wanted), np.nan_to_num(square, nan=np.inf, posinf=np.inf), 0
                )
                for place, weights in self.weights(output, wanted.shape):
                    result[place] += np.nansum(weights * square)
        return result

    def _in_order(self, expected: Tensors, outputs: Tensors) -> Tensors:
        """The outputs whose rows a node sorts, with each row in the place of its counterpart."""
        result: dict[str, Array] = {}
        for node in dict.fromkeys(order.node for order in self.orders.values()):
            group = {n: o for n, o in self.orders.items() if o.node == node and n in self.shares}
            result |= aligned(group, *({n: run[n] for n in group} for run in (expected, outputs)))
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
