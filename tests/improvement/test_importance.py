"""Weights of values between blocks: what noise in them does to the outputs."""

import numpy as np
import pytest
import torch
from onnx import helper

from onnxq.improvement.loss import Judge
from onnxq.improvement.training import importance
from onnxq.improvement.training.blocks import blocks
from onnxq.improvement.training.importance import by_gradients, by_power
from onnxq.improvement.training.values import parts_of
from onnxq.model.loading import load
from onnxq.torch_graph.parts import TorchGraph
from onnxq.verification.numeric.parts import parse_parts
from tests.improvement.models import array, model, samples


def conv(inputs, output, name):
    return helper.make_node("Conv", inputs, [output], name)


def two_heads():
    """Channels of `a` by 1, 2 and 0 are one output, the other is 1,000 times larger."""
    rng = np.random.default_rng(0)
    weights = [
        array("w", rng.normal(size=(3, 3, 1, 1))),
        array("v", np.diag([1, 2, 0]).reshape(3, 3, 1, 1)),
        array("thousand", np.array(1000)),
    ]
    nodes = [
        conv(["x", "w"], "a", "first"),
        conv(["a", "v"], "y", "second"),
        helper.make_node("Mul", ["y", "thousand"], ["z"], "large"),
    ]
    shape = [1, 3, 4, 4]
    return model(nodes, weights, {"x": shape}, {"y": shape, "z": shape})


def weights_of(proto, data, is_cut=lambda node: node.name == "second", parts_of_outputs=()):
    loaded = load(proto)
    own = parse_parts(parts_of_outputs, loaded.graph)
    cut = blocks(loaded.graph, 1, is_cut)
    parts = parts_of(TorchGraph(loaded.graph), cut)
    judge = Judge(model=loaded.proto, graph=loaded.graph, samples=data, parts=own)
    inputs = [{name: torch.from_numpy(a) for name, a in sample.items()} for sample in data]
    rng = np.random.default_rng(0)
    return judge, by_gradients(inputs, cut, parts, judge.shares, rng, lambda: None)


def test_a_channel_counts_by_what_its_noise_does_to_the_outputs():
    data = samples(200, (1, 3, 4, 4))
    judge, weights = weights_of(two_heads(), data)
    channels = weights[0]["a"].channels.reshape(-1).numpy()
    np.testing.assert_allclose(channels / channels[0], [1, 4, 0], rtol=0.15)
    noise = np.random.default_rng(1).normal(size=(len(data), 3, 4, 4))
    foretold = np.square(noise).sum(axis=(2, 3)) @ channels
    moved = noise * np.reshape([1, 2, 0], (3, 1, 1))  # in y, and 1,000 times that in z
    brought = np.square(moved).mean(axis=(1, 2, 3)) * (
        1 / judge.shares["y"].rest + 1000**2 / judge.shares["z"].rest
    )
    assert abs(foretold.sum() / brought.sum() - 1) < 0.2


def test_a_loud_output_counts_no_more_than_a_quiet_one():
    _, weights = weights_of(two_heads(), samples(50, (1, 3, 4, 4)), is_cut=lambda node: False)
    own = {name: float((w.channels * w.places).mean()) for name, w in weights[0].items()}
    assert own.keys() == {"y", "z"}
    assert np.isclose(own["y"] / own["z"], 1000**2, rtol=0.2)


def test_places_count_by_sample():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "first"),
        helper.make_node("Mul", ["a", "a"], ["y"], "square"),
    ]
    proto = model(nodes, [], {"x": [1, 2, 2, 2]}, {"y": [1, 2, 2, 2]})
    quiet, loud = (np.full((1, 2, 2, 2), value, np.float32) for value in (0.1, 1))
    quiet[0, :, 1, 1] = 1
    data = [*[{"x": quiet}] * 40, *[{"x": loud}] * 40]
    _, weights = weights_of(proto, data, lambda node: node.name == "square")
    places = [w["a"].places[0, 0].numpy() for w in weights]
    of_quiet, of_loud = np.mean(places[:40], axis=0), np.mean(places[40:], axis=0)
    assert of_quiet[1, 1] > 20 * of_quiet[0, 0]
    assert of_loud.max() < 2 * of_loud.min()


@pytest.mark.parametrize("parts", [[], ["loud=y[:,:2]"], ["loud=y[:,:2]", "quiet=y[:,2:]"]])
def test_parts_that_the_user_names_count_as_the_rest_does(parts):
    factors = array("f", np.array([1000, 1000, 1]).reshape(1, 3, 1, 1))
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "first"),
        helper.make_node("Mul", ["a", "f"], ["y"], "second"),
    ]
    proto = model(nodes, [factors], {"x": [1, 3, 4, 4]}, {"y": [1, 3, 4, 4]})
    _, weights = weights_of(proto, samples(100, (1, 3, 4, 4)), parts_of_outputs=parts)
    channels = weights[0]["a"].channels.reshape(-1).numpy()
    np.testing.assert_allclose(channels / channels[0], [1, 1, 2], rtol=0.2)


@pytest.mark.parametrize("before", [0, 1])
def test_noise_counts_once_where_a_block_gives_out_a_tensor_and_what_it_makes_of_it(before):
    nodes = [helper.make_node("Relu", ["x"], ["p"], "first")] * before
    nodes += [
        helper.make_node("Identity", ["p" if before else "x"], ["a"], "one"),
        helper.make_node("Mul", ["a", "two"], ["b"], "twice"),
        helper.make_node("Add", ["a", "b"], ["y"], "sum"),
    ]
    shape = [1, 2, 2, 2]
    proto = model(nodes, [array("two", np.array(2))], {"x": shape}, {"y": shape})
    cuts = {"sum", "first"}
    _, weights = weights_of(proto, samples(20, tuple(shape)), lambda node: node.name in cuts)
    own = {name: float((w.channels * w.places).mean()) for name, w in weights[0].items()}
    assert np.isclose(own["a"], own["b"], rtol=1e-3)


def test_a_gradient_that_is_not_finite_leaves_the_others():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "first"),
        helper.make_node("Sqrt", ["a"], ["y"], "second"),
    ]
    data = [{"x": np.abs(s["x"])} for s in samples(8, (1, 3, 4, 4))]
    data[3]["x"][0, 0, 0, 0] = 0
    proto = model(nodes, [], {"x": [1, 3, 4, 4]}, {"y": [1, 3, 4, 4]})
    _, weights = weights_of(proto, data)
    assert all(torch.isfinite(w["a"].channels).all() for w in weights)
    assert all(w["a"].channels.min() > 0 for w in weights)


def test_gradients_that_take_too_much_memory_leave_none(monkeypatch):
    data = samples(2, (1, 3, 4, 4))
    assert weights_of(two_heads(), data)[1]
    monkeypatch.setattr(importance, "MEMORY", 100)
    assert weights_of(two_heads(), data)[1] is None


def test_a_block_that_torch_lacks_leaves_none():
    nodes = [helper.make_node("LRN", ["x"], ["y"], "norm", size=3)]
    proto = model(nodes, [], {"x": [1, 3, 4, 4]}, {"y": [1, 3, 4, 4]})
    assert weights_of(proto, samples(2, (1, 3, 4, 4)))[1] is None


def test_by_power_every_tensor_has_the_same_share():
    rows = [{"a": torch.full((2, 3), float(i)), "b": torch.tensor(2.0)} for i in (1, 3)]
    weights = by_power(rows)
    for name in ("a", "b"):
        share = sum(
            float((row[name].square() * w[name].channels * w[name].places).sum())
            for row, w in zip(rows, weights, strict=True)
        )
        assert np.isclose(share, 1)
