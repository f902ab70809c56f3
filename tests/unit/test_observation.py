"""What a run must give out, and what follows from it to the bit."""

import numpy as np
import onnxruntime
import pytest

from onnxq.calibration.histogram import BitHistogram
from onnxq.calibration.observation import in_passes, observe
from onnxq.calibration.statistics import TensorStatistics
from tests.onnx_text import graph, model

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


RESIZE = """
net (float[1,2,3,5] x) => (float[1,2,N,M] y) <float[0] roi, float[4] scales = {SCALES}> {
    y = Resize <HOW> (x, roi, scales)
}
"""
WHOLE = 'mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"'


def resize(scales="{1.0, 1.0, 2.0, 3.0}", how=WHOLE):
    return RESIZE.replace("{SCALES}", scales).replace("HOW", how)


def test_what_is_resized_by_whole_numbers_follows():
    net = graph(resize())
    found = observe(net, ("x", "y"))
    assert (found.exposed, found.follows) == (("x",), {"y": ("x",) * 6})
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 5)).astype(np.float32)
    x[0, 0, 0, 0] = np.nan
    seen = {"x": TensorStatistics(values=BitHistogram.of(x), samples=1)}
    given = onnxruntime.InferenceSession(model(resize()).SerializeToString()).run(["y"], {"x": x})
    known, looked = found.complete(seen, 1)["y"], BitHistogram.of(given[0])
    assert known.range == looked.range
    np.testing.assert_array_equal(known.histogram.bins, looked.bins)
    np.testing.assert_array_equal(known.histogram.counts, looked.counts)


@pytest.mark.parametrize(
    ("scales", "how"),
    [
        ("{1.0, 1.0, 1.5, 2.0}", WHOLE),
        ("{1.0, 1.0, 0.5, 2.0}", WHOLE),
        ("{1.0, 1.0, 2.0, 2.0}", WHOLE.replace("nearest", "linear", 1)),
        ("{1.0, 1.0, 2.0, 2.0}", WHOLE.replace("asymmetric", "align_corners")),
        ("{1.0, 1.0, 2.0, 2.0}", WHOLE.replace("floor", "ceil")),
        ("{1.0, 1.0, 2.0, 2.0}", 'mode = "nearest"'),
    ],
)
def test_what_is_resized_otherwise_does_not_follow(scales, how):
    assert observe(graph(resize(scales, how)), ("x", "y")).exposed == ("x", "y")


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
