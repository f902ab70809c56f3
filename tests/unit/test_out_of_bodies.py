"""What leaves the bodies of If, Loop and Scan: every value that they computed, and no other."""

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest

from onnxq.model.inner_outputs import INSIDE, with_inner_outputs
from onnxq.model.preparing import prepare
from tests.onnx_text import model

RNG = np.random.default_rng(5)


def seen(proto, tensors, **inputs):
    """The values of some tensors, sorted, and the model's own outputs."""
    given = with_inner_outputs(proto, tensors)
    session = onnxruntime.InferenceSession(
        given.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [o.name for o in session.get_outputs()]
    found = dict(zip(names, session.run(names, inputs), strict=True))
    own = [found[o.name] for o in proto.graph.output]
    return {t: np.sort(found.get(INSIDE + t, found.get(t)).ravel()) for t in tensors}, own


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], np.sort(np.ravel(values)), rtol=1e-6)


BRANCHES = prepare(
    model(
        "g (float[2,3] x, bool c, bool d) => (float y) { y = If (c) <"
        " then_branch = t () => (float[2,3] p) { a = Neg (x) p = If (d) <"
        "   then_branch = tt () => (float[2,3] q) { b = Abs (a) q = Identity (b) },"
        "   else_branch = te () => (float[2,3] r) { r = Relu (a) }> },"
        " else_branch = e () => (float[1,6] s) { z = Constant <value_ints = [1, 6]> ()"
        "   f = Reshape (x, z) s = Exp (f) }> }"
    )
)


@pytest.mark.parametrize(("c", "d"), list(itertools.product([True, False], repeat=2)))
def test_branches_give_out_what_they_computed(c, d):
    x = RNG.normal(size=(2, 3)).astype(np.float32)
    found, own = seen(BRANCHES, ["a", "b", "r", "f", "x"], x=x, c=np.array(c), d=np.array(d))
    nothing = np.zeros(0)
    expected = {
        "a": -x if c else nothing,
        "b": abs(x) if c and d else nothing,
        "r": np.maximum(-x, 0) if c and not d else nothing,
        "f": nothing if c else x,
        "x": x,
    }
    same(found, expected)
    assert own[0].shape == ((2, 3) if c else (1, 6))


LOOP = prepare(
    model(
        "g (float[2,3] x, int64 n) => (float[2,3] y, float[k,2,3] s) <int64 two = {2}> {"
        " t = Constant <value = bool {1}> ()"
        " y, s = Loop (n, t, x) <body = b (int64 i, bool g, float[2,3] h)"
        "   => (bool a, float[2,3] o, float[2,3] m) { a = Identity (g)"
        "   o = Add (h, x) m = Neg (h) e = Mod (i, two) odd = Cast <to = 9> (e)"
        "   w = If (odd) <then_branch = tt () => (float[2,3] q) { q = Exp (h) },"
        "     else_branch = te () => (float[2,3] r) { r = Identity (h) }>"
        "   z = ReduceSum (w) }> }"
    )
)


@pytest.mark.parametrize("n", [0, 1, 4])
def test_a_loop_gives_out_every_iteration(n):
    x = RNG.normal(size=(2, 3)).astype(np.float32)
    found, own = seen(LOOP, ["h", "o", "q", "w"], x=x, n=np.array(n))
    carried = [x * (1 + i) for i in range(n)]
    expected = {
        "h": carried,
        "o": [h + x for h in carried],
        "q": [np.exp(h) for h in carried[1::2]],
        "w": [np.exp(h) if i % 2 else h for i, h in enumerate(carried)],
    }
    same(found, expected)
    np.testing.assert_allclose(own[0], x * (1 + n), rtol=1e-6)
    assert own[1].shape == (n, 2, 3)


def scan(axis, turned, out_axis, out_turned):
    size = ["2", "4"]
    size.insert(axis % 3, "3")
    return prepare(
        model(
            f"g (float[2,4] x, float[{','.join(size)}] v) => (float f, float r) {{"
            " f, r = Scan <num_scan_inputs = 1,"
            f" scan_input_axes = [{axis}], scan_input_directions = [{turned}],"
            f" scan_output_axes = [{out_axis}], scan_output_directions = [{out_turned}],"
            " body = b (float[2,4] h, float[2,4] e) => (float[2,4] o, float[2,4] l)"
            " { m = Mul (h, e) o = Tanh (m) l = Sub (h, e) }> (x, v) }"
        )
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize(("out_axis", "out_turned"), [(0, 0), (1, 0), (0, 1), (-1, 1)])
def test_a_scan_gives_out_every_slice_and_its_own_results(axis, turned, out_axis, out_turned):
    proto = scan(axis, turned, out_axis, out_turned)
    x = RNG.normal(size=(2, 4)).astype(np.float32)
    v = RNG.normal(size=[d.dim_value for d in proto.graph.input[1].type.tensor_type.shape.dim])
    v = v.astype(np.float32)
    (plain, own), (found, exposed) = (
        seen(proto, asked, x=x, v=v) for asked in ([], ["h", "e", "m"])
    )
    assert not plain
    for one, other in zip(own, exposed, strict=True):
        np.testing.assert_array_equal(one, other)
    slices = list(np.moveaxis(v, axis, 0))[:: -1 if turned else 1]
    states = [x]
    for e in slices:
        states.append(np.tanh(states[-1] * e))
    products = [h * e for h, e in zip(states, slices, strict=False)]
    same(found, {"h": states[:-1], "e": v, "m": products})


def test_a_model_without_bodies_gets_plain_outputs():
    proto = prepare(model("g (float[2] x) => (float[2] y) { a = Neg (x) y = Abs (a) }"))
    given = with_inner_outputs(proto, ["a", "y"])
    assert [o.name for o in given.graph.output] == ["y", "a"]
    assert list(given.graph.node) == list(proto.graph.node)
    assert isinstance(given, onnx.ModelProto)
