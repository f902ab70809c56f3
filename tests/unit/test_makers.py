"""Which op computes which channels of a tensor."""

import pytest

from onnxq.model.makers import makers
from tests.onnx_text import graph


@pytest.mark.parametrize(
    ("body", "axis", "size", "expected"),
    [
        ("[p] y = Sigmoid(x)", 1, 6, "ssssss"),
        ("[n] y = Relu(x)", 1, 6, "nnnnnn"),
        ("y = Identity(x)", 1, 6, "xxxxxx"),
        ("[p] s = Softmax(x) [n] r = Relu(x) y = Concat<axis=1>(r, s)", 1, 12, "n" * 6 + "s" * 6),
        ("[p] s = Softmax(x) [n] r = Relu(x) y = Concat<axis=-1>(r, s)", 2, 16, "n" * 8 + "s" * 8),
        ("[p] s = Sigmoid(x) t = Transpose<perm=[0,2,1]>(s) y = Cast<to=1>(t)", 2, 6, "ssssss"),
        (
            "[p] s = Sigmoid(x) [n] r = Relu(x) c = Concat<axis=1>(r, s) "
            "a, y = Split<axis=1>(c, parts)",
            1, 8, "nnssssss",
        ),
        (
            "[p] s = Sigmoid(x) [n] r = Relu(x) c = Concat<axis=1>(r, s) "
            "y = Slice(c, five, ten, one)",
            1, 5, "nssss",
        ),
        ("[n] r = Relu(x) [p] s = Sigmoid(x) y = Slice(s, five, ten, two)", 1, 6, "ssssss"),
        ("[a] s = Sigmoid(x) [b] t = HardSigmoid(x) [p] y = Mul(s, t)", 1, 6, "ssssss"),
        ("[a] s = Sigmoid(x) [b] t = Relu(x) [n] y = Mul(s, t)", 1, 6, "nnnnnn"),
        ("[p] s = Sigmoid(x) y = Reshape(s, grid)", 1, 6, "ssssss"),
        ("[p] s = Sigmoid(x) [n] y = Reshape(s, flat)", 1, 48, "n" * 48),
    ],
)  # fmt: skip
def test_makers(body, axis, size, expected):
    constants = (
        "int64[2] parts = {4, 8}, int64[1] five = {5}, int64[1] ten = {10}, int64[1] one = {1}, "
        "int64[1] two = {2}, int64[4] grid = {1, 6, 2, 4}, int64[2] flat = {1, 48}"
    )
    found = graph(f"g (float[1,6,8] x) => (y) <{constants}> {{ {body} }}")
    names = {"s": ("p",), "n": ("n",), "x": ("x",)}
    assert [(m.nodes, m.bounded) for m in makers(found, "y", axis, size)] == [
        (names[kind], kind == "s") for kind in expected
    ]
