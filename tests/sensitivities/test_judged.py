"""The noise of outputs: by part, with rows matched that a node sorts."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxq
from onnxq.improvement.loss import Judge
from onnxq.model.loading import load
from onnxq.sensitivities.judged import JudgedParts, OtherShapeError
from tests.improvement.models import array, model, samples, two_convs


def sorted_scores(rows=40):
    """The `rows` highest of 2*rows scores with their boxes, as a detector gives them out."""
    nodes = [
        helper.make_node("MatMul", ["s", "same"], ["computed"], "computed"),
        helper.make_node("TopK", ["computed", "k"], ["scores", "places"], "top", axis=1),
        helper.make_node("Unsqueeze", ["places", "last"], ["index"], "index"),
        helper.make_node("GatherND", ["b", "index"], ["boxes"], "boxes", batch_dims=1),
    ]
    weights = [
        array("same", np.eye(2 * rows)),
        numpy_helper.from_array(np.array([rows], np.int64), "k"),
        numpy_helper.from_array(np.array([2], np.int64), "last"),
    ]
    inputs = {"s": [2, 2 * rows], "b": [2, 2 * rows, 4]}
    return model(nodes, weights, inputs, {"scores": [2, rows], "boxes": [2, rows, 4]})


def judged(proto, data, **options):
    loaded = load(proto)
    judge = Judge(model=loaded.proto, graph=loaded.graph, samples=data, **options)
    return JudgedParts.of(judge), judge.references


def scenes(count=3, rows=40):
    rng = np.random.default_rng(0)
    return [
        {
            "s": rng.random((2, 2 * rows)).astype(np.float32),
            "b": rng.normal(size=(2, 2 * rows, 4)).astype(np.float32),
        }
        for _ in range(count)
    ]


def test_rows_that_change_places_are_no_noise():
    parts, references = judged(sorted_scores(), scenes())
    for expected in references:
        places = np.random.default_rng(1).permutation(40)
        moved = {name: values[:, places] for name, values in expected.items()}
        assert parts.noise(expected, moved).max() < 1e-12
        noisy = {"boxes": moved["boxes"] + np.float32(0.01), "scores": moved["scores"]}
        noise = dict(zip(parts.names, parts.noise(expected, noisy), strict=True))
        power = np.square(np.concatenate([r["boxes"] for r in references])).mean()
        assert noise["boxes"] == pytest.approx(1e-4 / power, rel=0.01)


def test_a_row_without_a_counterpart_is_noise_as_a_whole():
    parts, references = judged(sorted_scores(), scenes())
    expected = references[0]
    lost = {name: values.copy() for name, values in expected.items()}
    lost["boxes"][0, 3] = 100
    noise = dict(zip(parts.names, parts.noise(expected, lost), strict=True))
    power = np.square(np.concatenate([r["boxes"] for r in references])).mean()
    own = np.square(expected["boxes"][0, 3]).sum() / expected["boxes"].size / power
    assert noise["boxes"] == pytest.approx(own, rel=1e-3)
    fewer = {name: values[:, 1:] for name, values in expected.items()}
    gone = np.square(expected["boxes"][:, 0]).sum() / expected["boxes"].size / power
    noise = dict(zip(parts.names, parts.noise(expected, fewer), strict=True))
    assert noise["boxes"] == pytest.approx(gone, rel=1e-3)


def test_values_that_are_not_finite():
    proto = two_convs()
    parts, (expected,) = judged(proto, samples(1))
    masked = {"y": expected["y"].copy()}
    masked["y"][0, 0, 0, 0] = -np.inf
    assert parts.noise(masked, masked) == 0
    assert parts.noise(masked, expected) == 0
    assert parts.noise(expected, masked) == np.inf


def test_another_shape_is_refused():
    parts, (expected,) = judged(two_convs(), samples(1))
    with pytest.raises(OtherShapeError, match="y"):
        parts.noise(expected, {"y": expected["y"][:, :, 1:]})
    with pytest.raises(onnxq.OnnxqError) as raised:
        parts.without("y")
    assert raised.value.diagnostics[0].code == "OQ481"


def counting():
    """Beside its output it gives out so many ones as 30 times the mean of its squares."""
    proto = two_convs()
    proto.graph.initializer.extend(
        [array("many", np.array(30)), numpy_helper.from_array(np.array([1], np.int64), "one")]
    )
    proto.graph.node.extend(
        [
            helper.make_node("Mul", ["y", "y"], ["squares"], "squares"),
            helper.make_node("ReduceMean", ["squares"], ["mean"], "mean", keepdims=0),
            helper.make_node("Mul", ["mean", "many"], ["count"], "count"),
            helper.make_node("Cast", ["count"], ["whole"], "whole", to=TensorProto.INT64),
            helper.make_node("Reshape", ["whole", "one"], ["shape"], "shape"),
            helper.make_node(
                "ConstantOfShape", ["shape"], ["ones"], "ones",
                value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1]),
            ),
        ]
    )  # fmt: skip
    ones = helper.make_tensor_value_info("ones", TensorProto.FLOAT, [None])
    proto.graph.output.append(ones)
    return proto


def test_an_output_that_changes_its_shape_is_left_out():
    result = onnxq.sensitivity(counting(), samples(4), "trt-int8")
    assert result.parts == ("y",)
    told = {d.code: d.message for d in result.diagnostics}
    assert "'ones' has another shape with pairs than without" in told["OQ481"]
    assert result.pairs[0].mean > 0


def test_outputs_that_are_weights_or_no_tensors_do_no_harm():
    proto = two_convs()
    proto.graph.node.append(helper.make_node("SequenceConstruct", ["y"], ["list"], "list"))
    proto.graph.output.extend(
        [
            helper.make_tensor_value_info("w2", TensorProto.FLOAT, [4, 8, 1, 1]),
            helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None),
        ]
    )
    result = onnxq.sensitivity(proto, samples(2), "trt-int8")
    assert (result.parts, result.estimator) == (("y", "w2"), "gradients")
    assert all(pair.noise[1] == 0 for pair in result.pairs)
