"""One network with pairs in many places: a stem, a residual block, a Concat, and a pooled end."""

from math import prod

import numpy as np

from tests.verification.models import RNG, Builder

SIZE = 64  # pixels a side
WIDTH = 64  # channels


class Placement(Builder):
    """The network, with the choices by keyword. Unless a choice says otherwise, all is in int8."""

    def __init__(self, *, pairs=True, weights=True, only=None, axis=0):
        super().__init__()
        self._pairs, self._weights, self._only, self._axis = pairs, weights, only, axis
        self._paired = {}

    def weight(self, *shape):
        """Filters that keep the size of values, so that FP16 can hold them."""
        values = RNG.normal(size=shape) / np.sqrt(prod(shape[1:]))
        return self.constant(values.astype(np.float32))

    def rounded(self, tensor, scale=0.05):
        """A tensor behind its pair; one pair serves all that want the same scale."""
        if (tensor, scale) not in self._paired:
            self._paired[tensor, scale] = self.pair(tensor, scale)
        return self._paired[tensor, scale]

    def product(self, tensor, channels, name, *, size=3, scale=0.05, **attributes):
        mine = self._only in (None, name)
        data = self.rounded(tensor, scale) if self._pairs and mine and scale else tensor
        shape = (WIDTH, channels, size, size)
        weight = (
            self.per_channel(*shape, axis=self._axis if name == "end" else 0)
            if self._weights and mine
            else self.weight(*shape)
        )
        pads = [size // 2] * 4
        return self.op("Conv", data, weight, name=name, pads=pads, **attributes)


def network(
    *,
    pairs=True,
    weights=True,
    only=None,
    axis=0,
    skip="same",
    parts=(None, None),
    joined=0.05,
    behind_product=False,
    twice=False,
    pooled="behind",
    size=SIZE,
):
    """The model for an image of `size` pixels a side; `only` names the one Conv with pairs.

    `skip` is the scale of the pair of the residual branch, 'same' as the block's, or None;
    `parts` are scales of pairs in front of the Concat, `joined` is that behind it. `behind_product`
    puts a pair between a Conv and its Relu, `twice` a second pair behind one. `pooled` says where
    the pair of the AveragePool stands: 'behind' or 'before' it.
    """
    net = Placement(pairs=pairs, weights=weights, only=only, axis=axis)
    stem = net.op("Relu", net.product("x", 4, "stem"), name="stem_relu")
    before = net.op("Relu", net.product(stem, WIDTH, "one"), name="relu_one")
    first = net.product(before, WIDTH, "two")
    if behind_product:
        first = net.pair(first, 0.06)
    first = net.op("Relu", first, name="relu_two")
    second = net.product(first, WIDTH, "three")
    block = pairs and only is None
    shortcut = {"same": 0.05, None: None}.get(skip, skip) if block else None
    other = net.rounded(before, shortcut) if shortcut else before
    added = net.op("Relu", net.op("Add", second, other, name="add"), name="relu_add")
    if twice:
        added = net.pair(added, 0.07)
    left, right = (
        net.op("Relu", net.product(added, WIDTH, name, size=1), name=f"relu_{name}")
        for name in ("left", "right")
    )
    sides = [net.rounded(t, s) if s else t for t, s in zip((left, right), parts, strict=True)]
    concat = net.op("Concat", *sides, name="concat", axis=1)
    mixed = net.op("Relu", net.product(concat, 2 * WIDTH, "mix", scale=joined), name="relu_mix")
    if pooled == "before":
        mixed = net.rounded(mixed)
    pool = net.op("AveragePool", mixed, name="pool", kernel_shape=[2, 2], strides=[2, 2])
    end = net.product(pool, WIDTH, "end", scale=0.05 if pooled == "behind" else None)
    return net.model(net.op("Relu", end, name="last"), shape=(1, 4, size, size))


PLACEMENTS = {
    "all": {},
    "none": {"pairs": False, "weights": False},
    "no pair on the skip": {"skip": None},
    "skip of another scale": {"skip": 0.08},
    "concat of unequal scales": {"parts": (0.05, 0.09), "joined": None},
    "concat requantized": {"parts": (0.06, 0.09)},
    "one Conv": {"only": "mix"},
    "weights alone": {"pairs": False},
    "pair behind a product": {"behind_product": True},
    "rounded twice": {"twice": True},
    "pair before the pool": {"pooled": "before"},
    "wrong axis": {"axis": 1},
}
