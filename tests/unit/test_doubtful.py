"""Ranges for half precision: what a calibration does not know, and the run that finds it out."""

from dataclasses import replace

import numpy as np
import pytest

from onnxq.calibration.calibrate import Settings, calibrate, observed_tensors
from onnxq.calibration.doubtful import doubtful, unobserved_bounds
from onnxq.calibration.half_ranges import with_ranges
from onnxq.calibration.histogram import ValueRange
from onnxq.calibration.methods import ImportedAmax
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.diagnostics import OnnxqError
from onnxq.model.graph import Graph
from onnxq.model.io import name_nodes
from tests.inserting import InMemory
from tests.onnx_text import model

LIMIT = 65504
# x and e are observed when no recipe narrows that; a has a bound by the weights, b and c exceed it.
MODEL = name_nodes(
    model(
        "g (float[2,4] x) => (float[2,4] y) <float[4,4] w = {1,0,0,0, 0,1,0,0, 0,0,1,0, 0,0,0,1},"
        " float[1] up = {30000}, float[1] down = {0.001}> {"
        " [one] a = MatMul(x, w) [two] b = Mul(a, up) [three] c = Relu(b) [four] e = Mul(c, down)"
        " [five] y = MatMul(e, w) }"
    )
)
GRAPH = Graph(MODEL, digest="d")
FEED = [{"x": np.full((2, 4), value, np.float32)} for value in (-3, 2, 4)]


def calibrated(*samples, tensors=None, **settings):
    return calibrate(
        MODEL,
        GRAPH,
        InMemory(*samples),
        tensors=tensors or observed_tensors(GRAPH),
        settings=Settings(**settings),
    )


def ranged(*samples):
    """A calibration with the ranges that FP16 needs."""

    def observe(tensors):
        return calibrated(*samples, tensors=tensors, calibrator="max")

    return with_ranges(calibrated(*samples), GRAPH, LIMIT, observe)


def test_only_what_neither_data_nor_weights_bound_is_doubtful():
    statistics = calibrated(*FEED)
    assert set(statistics.tensors) == {"x", "e"}
    assert unobserved_bounds(GRAPH, statistics) == pytest.approx(
        {"a": 4, "b": 120000, "c": 120000, "y": 120}
    )
    assert doubtful(GRAPH, statistics, LIMIT) == ("b", "c")
    assert doubtful(GRAPH, statistics, 2e5) == ()


def test_the_second_run_adds_exact_ranges_and_nothing_else():
    before, after = calibrated(*FEED), ranged(*FEED)
    assert {name: after.tensors[name].range for name in ("b", "c")} == {
        "b": ValueRange(count=24, minimum=-90000, maximum=120000),
        "c": ValueRange(count=24, minimum=0, maximum=120000),
    }
    assert not doubtful(GRAPH, after, LIMIT)
    histograms = {n: t for n, t in after.tensors.items() if t.histogram is not None}
    assert replace(after, tensors=histograms).digest == before.digest


def test_nothing_runs_again_where_nothing_is_doubtful():
    statistics = calibrated(*FEED)

    def observe(tensors):
        pytest.fail(f"{tensors} are not doubtful")

    assert with_ranges(statistics, GRAPH, 2e5, observe) is statistics


def test_other_data_in_the_second_run_are_refused():
    with pytest.raises(OnnxqError) as caught:
        with_ranges(
            calibrated(*FEED), GRAPH, LIMIT, lambda tensors: calibrated(FEED[0], tensors=tensors)
        )
    assert caught.value.diagnostics[0].code == "OQ432"


def test_parts_add_to_the_whole_and_are_saved(tmp_path):
    first, second = ranged(*FEED[:1]), ranged(*FEED[1:])
    total = first + second
    assert total.tensors["b"].range == ranged(*FEED).tensors["b"].range
    total.save(tmp_path / "total.calib.npz")
    loaded = Statistics.load(tmp_path / "total.calib.npz")
    assert loaded.digest == total.digest
    assert loaded.tensors["b"].histogram is None


def test_a_range_of_some_samples_alone_settles_nothing():
    small = [{"x": np.full((2, 4), 0.5, np.float32)}]
    part = ranged(*small)
    assert set(part.tensors) == {"x", "e"}  # within FP16 for all that this part saw
    total = part + ranged(*FEED)
    assert total.tensors["b"].samples == 3
    assert doubtful(GRAPH, total, LIMIT) == ("b", "c")


def test_an_imported_amax_is_no_range():
    imported = {n: TensorStatistics(values=ImportedAmax(amax=4.0), samples=0) for n in ("x", "e")}
    cache = Statistics(model_digest="d", calibrator="cache", tensors=imported)
    assert doubtful(GRAPH, cache, LIMIT) == ("x", "a", "b", "c", "e", "y")
