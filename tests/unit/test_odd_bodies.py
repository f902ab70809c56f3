"""Bodies of rare form: insertion is the same every time, and stripping gives the model back."""

import numpy as np
import onnx
import pytest

from onnxq.model.pairs import is_pair_op
from onnxq.model.preparing import prepare
from onnxq.model.scopes import nodes
from onnxq.model.strip import strip
from tests.inserting import computed, quantized
from tests.onnx_text import model

HEAD = (
    "g (float[2,4] x, int64 n) => (float[d,4] y) <float[4,4] w> { t = Constant<value = bool {1}>()"
)
STEP = "int64 i, bool g"
BODIES = {
    "a weight that is carried, and read by its own name": (
        f"y, v = Loop(n, t, x, w) <body = b ({STEP}, float[2,4] h, float[4,4] u)"
        " => (bool a, float[2,4] o, float[4,4] s) { a = Identity(g) m = MatMul(h, u)"
        " k = MatMul(m, w) o = Tanh(k) s = Neg(u) }> }"
    ),
    "a value that grows": (
        f"y = Loop(n, t, x) <body = b ({STEP}, float[r,4] h) => (bool a, float[s,4] o)"
        " { a = Identity(g) m = MatMul(h, w) o = Concat<axis = 0>(h, m) }> }"
    ),
    "a sequence that is carried": (
        f"s = SequenceConstruct(x) f = Loop(n, t, s) <body = b ({STEP}, seq(float[2,4]) h)"
        " => (bool a, seq(float[2,4]) o) { a = Identity(g) z = Constant<value = int64 {-1}>()"
        " q = SequenceAt(h, z) m = MatMul(q, w) o = SequenceInsert(h, m) }>"
        " y = ConcatFromSequence<axis = 0>(f) }"
    ),
    "two Loops in a Loop, with the same names": (
        f"y = Loop(n, t, x) <body = b ({STEP}, float[2,4] h) => (bool a, float[2,4] o)"
        " { a = Identity(g) e = MatMul(h, w)"
        " f = Loop(n, t, h) <body = c (int64 j, bool p, float[2,4] k) => (bool q, float[2,4] r)"
        "   { q = Identity(p) m = MatMul(k, w) r = Tanh(m) }>"
        " o = Loop(n, t, f) <body = c (int64 j, bool p, float[2,4] k) => (bool q, float[2,4] r)"
        "   { q = Identity(p) m = MatMul(k, w) r = Tanh(m) }> }> }"
    ),
    "a body that gives out what it takes in": (
        f"y, s = Loop(n, t, x) <body = b ({STEP}, float[2,4] h)"
        " => (bool g, float[2,4] h, float[2,4] m) { m = MatMul(h, w) }> }"
    ),
}


@pytest.mark.parametrize("body", BODIES)
def test_pairs_in_rare_bodies(tmp_path, body):
    before = prepare(model(f"{HEAD} {BODIES[body]}"))
    made, again = (quantized(tmp_path, before, weights="qdq") for _ in range(2))
    assert made.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
    onnx.checker.check_model(made, full_check=True)
    assert any(scope and is_pair_op(node) for scope, node in nodes(made.graph))
    back = strip(made).model
    assert back == before
    x = np.random.default_rng(3).normal(size=(2, 4)).astype(np.float32)
    for n in (0, 2):
        computed(made, x=x, n=np.array(n))
        for one, other in zip(
            *(computed(m, x=x, n=np.array(n)) for m in (back, before)), strict=True
        ):
            np.testing.assert_array_equal(one, other)
