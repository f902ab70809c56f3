"""equalize: what it gains on a trained model, what it leaves alone, and shapes that are odd."""

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

import onnxq
from onnxq.improvement.loss import Judge
from onnxq.model.loading import load
from onnxq.planning.improvers import IMPROVER_NAMES
from tests.improvement.models import array, model
from tests.inserting import computed


def only(*names, **options):
    """The options that leave only these improvers."""
    return {"without": [n for n in IMPROVER_NAMES if n not in names], **options}


def uneven(activation, *, more=None, outputs=("y",), channels=8, shapes=None):
    """A Conv whose channels differ much, an activation, and a Conv to which all matter alike."""
    rng = np.random.default_rng(0)
    spread = np.exp(rng.normal(size=(channels, 1, 1, 1)) * 1.5)
    weights = [
        array("w1", rng.normal(size=(channels, 3, 3, 3)) * spread),
        array("w2", rng.normal(size=(4, channels, 1, 1)) / spread.reshape(1, -1, 1, 1)),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "first", kernel_shape=[3, 3]),
        *activation("a", "b"),
        helper.make_node("Conv", ["b", "w2"], ["y"], "second", kernel_shape=[1, 1]),
        *(more or []),
    ]
    wide = [None, channels, 6, 6]
    shapes = {"y": [None, 4, 6, 6], "z": wide, "b": wide, **(shapes or {})}
    return model(nodes, weights, {"x": [None, 3, 8, 8]}, {name: shapes[name] for name in outputs})


def silu(source, target):
    return [
        helper.make_node("Sigmoid", [source], ["gate"], "gate"),
        helper.make_node("Mul", [source, "gate"], [target], "silu"),
    ]


def simple(op, **attributes):
    return lambda source, target: [helper.make_node(op, [source], [target], "act", **attributes)]


def inputs(count, seed, batch=1):
    rng = np.random.default_rng(seed)
    return [{"x": rng.normal(size=(batch, 3, 8, 8)).astype(np.float32)} for _ in range(count)]


def improved(proto, data):
    """The improvement by equalize alone, and the Q/DQ models without and with it."""
    statistics = onnxq.calibrate(proto, data)
    improvement = onnxq.improve(proto, data, statistics=statistics, **only("equalize"))
    plain = onnxq.insert(proto, statistics=statistics).proto
    return improvement, plain, onnxq.insert(proto, statistics=statistics, improvement=improvement)


def noise(proto, model, data):
    loaded = load(proto)
    return Judge(model=loaded.proto, graph=loaded.graph, samples=data).loss(model)


@pytest.fixture(scope="module")
def crops(photographs):
    """Crops of photographs, normalized for ImageNet classifiers."""
    names = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left", "hubble_deep_field")
    pictures = [Image.open(photographs[name]).convert("RGB") for name in names]
    rng = np.random.default_rng(0)

    def crop(picture):
        side = int(rng.integers(150, min(picture.size)))
        left, top = (int(rng.integers(size - side)) for size in picture.size)
        box = (left, top, left + side, top + side)
        scaled = np.asarray(picture.resize((224, 224), box=box), np.float32) / 255
        normal = (scaled - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        return {"input": normal.transpose(2, 0, 1)[None].astype(np.float32)}

    return [crop(pictures[number % len(pictures)]) for number in range(32)]


def test_a_trained_classifier_gains_on_other_pictures(mobilenet, crops):
    """Three crops of four come from the same six photographs, never from the same place."""
    statistics = onnxq.calibrate(mobilenet, crops[:16])
    result = onnxq.improve(mobilenet, crops[:16], statistics=statistics, **only("equalize"))
    (step,) = result.steps
    assert step.kept
    assert len(step.notes) > 20
    before = noise(mobilenet, onnxq.insert(mobilenet, statistics=statistics).proto, crops[16:])
    with_it = onnxq.insert(mobilenet, statistics=statistics, improvement=result).proto
    gain = 10 * np.log10(before / noise(mobilenet, with_it, crops[16:]))
    assert gain > 1, gain


@pytest.mark.parametrize(
    "activation", [simple("Relu"), silu, simple("Clip"), simple("LeakyRelu", alpha=0.1)]
)
def test_uneven_channels_gain_behind_any_activation(activation):
    proto = uneven(activation)
    improvement, plain, result = improved(proto, inputs(16, 1))
    assert "b" in [tensor for tensor, _, _ in improvement.divisors]
    judged = inputs(16, 2, batch=3)  # the batch is dynamic
    assert noise(proto, plain, judged) > 8 * noise(proto, result.proto, judged)


def divided(proto, data=None):
    """The tensors that equalize divides."""
    improvement, _, result = improved(proto, data or inputs(16, 1))
    onnx.checker.check_model(result.proto, full_check=True)
    return {tensor for tensor, _, _ in improvement.divisors}


def test_a_weight_that_another_node_reads_is_left_alone():
    again = [helper.make_node("Conv", ["b", "w2"], ["z"], "again", kernel_shape=[1, 1])]
    assert "b" in divided(uneven(simple("Relu")))
    assert "b" not in divided(
        uneven(simple("Relu"), more=again, outputs=("y", "z"), shapes={"z": [None, 4, 6, 6]})
    )


def test_a_weight_that_is_an_output_too_is_left_alone():
    proto = uneven(simple("Relu"))
    proto.graph.output.append(helper.make_tensor_value_info("w2", 1, [4, 8, 1, 1]))
    assert "b" not in divided(proto)


def test_a_pair_that_other_ops_read_too_is_left_alone():
    proto = uneven(
        simple("Relu"), more=[helper.make_node("Add", ["b", "b"], ["z"], "sum")], outputs=("y", "z")
    )
    recipe = onnxq.Recipe.from_yaml(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "- {id: sum, why: test, match: {op: Add}, quantize: {inputs: act}}\n"
    )
    improvement = onnxq.improve(proto, inputs(16, 1), recipe, **only("equalize"))
    assert "b" not in {tensor for tensor, _, _ in improvement.divisors}


def test_outputs_and_other_readers_keep_their_values():
    """The divided tensor is another one, so that nothing else sees it."""
    proto = uneven(
        simple("Relu"),
        more=[helper.make_node("Neg", ["b"], ["z"], "neg")],
        outputs=("y", "z", "b"),
    )
    _, _, result = improved(proto, inputs(16, 1))
    sample = inputs(1, 3)[0]
    expected, got = computed(proto, **sample), computed(result.proto, **sample)
    np.testing.assert_array_equal(got[1], -got[2])
    assert np.abs(got[2] - expected[2]).max() < 0.2 * np.abs(expected[2]).max()


def test_a_rule_forbids_it_at_a_reader():
    recipe = onnxq.Recipe.from_yaml(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "- {id: not, why: test, match: {name: second}, improve: [bias]}\n"
    )
    improvement = onnxq.improve(uneven(simple("Relu")), inputs(16, 1), recipe, **only("equalize"))
    assert "b" not in {tensor for tensor, _, _ in improvement.divisors}


def test_one_channel_has_nothing_to_even_out():
    assert "b" not in divided(uneven(simple("Relu"), channels=1))


@pytest.mark.parametrize("slope", [0.0, 1e-30])
def test_channels_without_values_do_no_harm(slope):
    """Behind a Relu with all inputs below zero, and a channel far below the others."""
    proto = uneven(simple("Relu"))
    weight = onnx.numpy_helper.to_array(proto.graph.initializer[0]).copy()
    weight[:3] *= slope
    proto.graph.initializer[0].CopyFrom(array("w1", weight))
    _, _, result = improved(proto, inputs(16, 1))
    sample = inputs(1, 3)[0]
    expected, got = computed(proto, **sample)[0], computed(result.proto, **sample)[0]
    assert np.abs(got - expected).max() < 0.1 * np.abs(expected).max()


def test_tensors_that_are_constant_over_all_samples():
    assert divided(uneven(simple("Relu")), [{"x": np.zeros((1, 3, 8, 8), np.float32)}] * 8) == set()


def test_a_weight_without_values_has_no_channels_to_even_out():
    nodes = [helper.make_node("Conv", ["x", "none"], ["a"], "a"),
             helper.make_node("Conv", ["a", "w"], ["y"], "y")]  # fmt: skip
    constants = [array("none", np.zeros((0, 3, 1, 1))), array("w", np.zeros((4, 0, 1, 1)))]
    proto = model(nodes, constants, {"x": [1, 3, 4, 4]}, {"y": [1, 4, 4, 4]})
    data = [{"x": np.ones((1, 3, 4, 4), np.float32)}] * 8
    result = onnxq.improve(proto, data, **only("equalize"))
    assert [step.changed for step in result.steps] == [0]
