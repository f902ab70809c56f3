"""What a run must give out, and what follows from it to the bit."""

import numpy as np
import pytest

from onnxq.calibration.histogram import BitHistogram
from onnxq.calibration.observation import in_passes, observe
from onnxq.calibration.statistics import TensorStatistics
from tests.onnx_text import graph

NET = """
net (float[1,4,8,8] x) => (float[1,32,8,8] y)
<float[4,4,3,3] w, float[4,4,3,3] v, float[32,12,1,1] k> {
    a = Conv <pads = [1,1,1,1]> (x, w)
    b = Conv <pads = [1,1,1,1]> (x, v)
    c = Concat <axis = 1> (a, b, a)
    d = Transpose <perm = [0,1,3,2]> (c)
    y = Conv (d, k)
}
"""


def test_what_only_holds_the_values_of_others_follows():
    found = observe(graph(NET), ("x", "a", "b", "c", "d"))
    assert found.exposed == ("x", "a", "b")
    assert found.follows == {"c": ("a", "b", "a"), "d": ("c",)}


def test_what_has_a_part_that_nobody_asked_for_is_exposed():
    found = observe(graph(NET), ("x", "a", "c", "d"))
    assert found.exposed == ("x", "a", "c")
    assert found.follows == {"d": ("c",)}


def test_what_follows_is_what_looking_would_have_found():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((1, 4, 8, 8)).astype(np.float32) for _ in range(2))
    b[0, 0, 0, :2] = np.nan, -np.inf
    seen = {
        name: TensorStatistics(values=BitHistogram.of(x), samples=1)
        for name, x in {"x": a, "a": a, "b": b}.items()
    }
    known = observe(graph(NET), ("x", "a", "b", "c", "d")).complete(seen, 1)
    looked = BitHistogram.of(np.concatenate([a, b, a], axis=1))
    for name in "cd":
        assert known[name].samples == 1
        assert known[name].range == looked.range
        np.testing.assert_array_equal(known[name].histogram.bins, looked.bins)
        np.testing.assert_array_equal(known[name].histogram.counts, looked.counts)


def test_what_follows_from_something_that_was_not_float_is_left_out():
    found = observe(graph(NET), ("x", "a", "b", "c", "d"))
    assert found.complete({}, 3) == {}


def test_a_slice_does_not_follow_from_the_whole():
    net = graph("g (float[4] x) => (float[2] y) <int64[1] s, int64[1] e> { y = Slice(x, s, e) }")
    assert observe(net, ("x", "y")).exposed == ("x", "y")


@pytest.mark.parametrize(
    ("limit", "passes"),
    [
        (None, ("abcd",)),
        (100, ("abcd",)),
        (7, ("ab", "cd")),
        (6, ("ab", "c", "d")),
        (3, ("a", "b", "c", "d")),
    ],
)
def test_passes_stay_within_the_memory_where_they_can(limit, passes):
    sizes = {"a": 2, "b": 4, "c": 5, "d": 2}
    assert in_passes("abcd", sizes, limit) == tuple(map(tuple, passes))


def test_no_tensor_needs_one_pass_still():
    assert in_passes((), {}, 1) == ((),)
