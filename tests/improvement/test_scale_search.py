"""scales: what it gains on a trained model, what it leaves alone, and shapes that are odd."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import helper

import onnxq
from onnxq.improvement.improvers.scales import Scales
from onnxq.improvement.training.scale_search import FACTORS
from onnxq.torch_graph import probe
from tests.improvement.models import array, concat_of_a_branch, model, samples, two_convs
from tests.improvement.test_equalization import crops  # noqa: F401
from tests.improvement.test_learning import conv, one_conv
from tests.improvement.working import gain, work_on


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def searched(proto, data, **options):
    """What the improver is given, and what it changes."""
    work = replace(work_on(proto, data), **options)
    return work, Scales().improve(work)


@pytest.mark.long
def test_a_trained_model_gains_on_samples_that_it_did_not_see(mobilenet, crops):  # noqa: F811
    work, edits = searched(mobilenet, crops[:16])
    assert len(edits.scales) > 20
    assert not edits.constants
    assert gain(work, edits, crops[16:]) > 1


def rare(number):
    """Mostly small values, and a large one that one filter reads."""
    rng = np.random.default_rng(number)
    x = rng.normal(size=(1, 2, 8, 8)).astype(np.float32)
    x[0, 1] *= 0.01
    x[0, 1, number % 8, 0] = 40
    return {"x": x}


def test_a_scale_is_as_wide_as_what_matters_at_the_output():
    weight = np.array([1, 0], np.float32).reshape(1, 2, 1, 1)
    proto = model(
        [conv(["x", "w"], "y", "one")],
        [array("w", weight)],
        {"x": [1, 2, 8, 8]},
        {"y": [1, 1, 8, 8]},
    )
    wide = onnxq.Recipe.from_yaml(
        "schema: 1\nextends: trt-int8\ndescriptors: {act: {calibrator: histogram, method: max}}"
    )
    work = work_on(proto, [rare(i) for i in range(16)], wide)
    edits = Scales().improve(work)
    (pair,) = edits.scales
    assert edits.scales[pair] / work.subject.scales.by_pair[pair] == np.float32(FACTORS[0])
    assert "0.35" in edits.notes["one"]
    assert gain(work, edits, [rare(100 + i) for i in range(16)]) > 6


def test_equal_seeds_choose_equal_scales():
    once, again = (searched(two_convs(), samples(12), seed=3)[1] for _ in range(2))
    assert once.scales == again.scales


def test_what_is_no_target_stays():
    _, edits = searched(two_convs(), samples(12), targets=("second",))
    assert {pair.tensor for pair in edits.scales} <= {"b"}


def test_a_range_that_a_rule_gives_stays():
    fixed = onnxq.Recipe.from_yaml(
        "schema: 1\nrules: [{id: all, why: t, match: {op: Conv}, quantize: {inputs: "
        "{dtype: int8, granularity: per_tensor, amax: 9}, weights: {dtype: int8, "
        "granularity: per_channel, method: max}}, improve: [scales]}]"
    )
    assert not Scales().improve(work_on(one_conv(), samples(8), fixed)).scales


def test_pairs_of_a_share_group_keep_one_scale():
    work, edits = searched(concat_of_a_branch(), samples(16, (1, 3, 4, 4)))
    scales = work.subject.edited(edits).scales.by_pair
    groups = {pair.group for pair in scales if pair.group is not None}
    assert groups
    for group in groups:
        assert len({float(scale) for pair, scale in scales.items() if pair.group == group}) == 1


def test_an_operator_without_a_gradient_leaves_all_as_it_is():
    nodes = [
        conv(["x", "w"], "a", "first"),
        helper.make_node("LRN", ["a"], ["y"], "norm", size=3),
    ]
    weights = [array("w", np.random.default_rng(0).normal(size=(3, 3, 1, 1)))]
    proto = model(nodes, weights, {"x": [1, 3, 8, 8]}, {"y": [1, 3, 8, 8]})
    _, edits = searched(proto, samples(8))
    assert not edits
    assert edits.why == "onnxq has no gradient of LRN ('norm')"


def test_gradients_that_take_too_much_memory_leave_all_as_it_is(monkeypatch):
    monkeypatch.setattr(probe, "MEMORY", 100)
    _, edits = searched(two_convs(), samples(8))
    assert not edits
    assert "4 GiB" in edits.why


@pytest.mark.parametrize(
    ("shape", "groups", "outputs"),
    [((1, 1, 4, 4), 1, 2), ((2, 4, 4, 4), 4, 4), ((1, 4, 1, 1), 2, 4), (("n", 3, 4, 4), 1, 2)],
    ids=["one channel", "depthwise", "groups", "dynamic batch"],
)
def test_odd_shapes(shape, groups, outputs):
    channels = shape[1] // groups
    weight = np.random.default_rng(0).normal(size=(outputs, channels, 1, 1))
    proto = model(
        [conv(["x", "w"], "y", "one", group=groups)],
        [array("w", weight)],
        {"x": list(shape)},
        {"y": [shape[0], outputs, *shape[2:]]},
    )
    sizes = tuple(2 if isinstance(size, str) else size for size in shape)
    work, edits = searched(proto, samples(12, sizes))
    assert np.isfinite(gain(work, edits, samples(12, sizes, seed=5)))


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_constant_tensor_is_no_obstacle(value):
    data = [{"x": np.full((1, 3, 8, 8), value, np.float32)} for _ in range(8)]
    work, edits = searched(one_conv(), data)
    assert all(np.isfinite(scale).all() for scale in edits.scales.values())
    assert work.subject.edited(edits).quantized()


def test_nan_in_a_tensor_is_no_obstacle():
    data = samples(8)
    data[0]["x"][0, 0, 0, 0] = np.nan
    data[1]["x"][0, 0, 0, 0] = -np.inf
    work = work_on(two_convs(), samples(8))
    edits = Scales().improve(replace(work, fitting=tuple(data)))
    assert all(np.isfinite(scale).all() for scale in edits.scales.values())
