"""Bias correction: what it corrects, what it leaves alone, and odd shapes."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper

import onnxq
from onnxq.improvement.capture import captured
from onnxq.improvement.improvers.bias import Bias, shrunk
from tests.e2e.rendered_characters import characters
from tests.improvement.models import array, model, samples, two_convs
from tests.improvement.working import gain, work_on

CLIPPED = """
schema: 1
extends: trt-int8
descriptors:
  tight: {dtype: int8, amax: 1.0}
rules:
  - {id: tight, why: It clips., match: {op: [Conv, ConvTranspose, Gemm, MatMul]}, quantize: {inputs: tight}}
"""  # noqa: E501


def corrected(proto, data):
    """The work on a model whose activations are clipped, and the edits."""
    work = work_on(proto, data, onnxq.Recipe.from_yaml(CLIPPED))
    return work, Bias().improve(work)


def positive(count, seed=1):
    """Inputs whose clipping lowers the mean."""
    return [{"x": np.abs(s["x"])} for s in samples(count, seed=seed)]


def means(proto, tensor, data):
    return np.mean(
        [v[tensor].mean(axis=(0, 2, 3)) for v in captured(proto, [tensor], data)], axis=0
    )


def test_every_channel_gets_the_mean_of_the_float_model():
    work, edits = corrected(two_convs(), positive(64))
    after = work.subject.edited(edits).quantized()
    for tensor in ("a", "y"):
        expected = means(work.subject.model, tensor, work.fitting)
        before = means(work.subject.quantized(), tensor, work.fitting) - expected
        rest = means(after, tensor, work.fitting) - expected
        assert np.abs(rest).max() < np.abs(before).max() / 4
    assert edits.biases.keys() == {"first"}
    assert edits.constants.keys() == {"bias2"}
    assert "bias shifted by" in edits.notes["first"]


def test_it_helps_where_it_was_not_fitted():
    work, edits = corrected(two_convs(), positive(64))
    assert gain(work, edits, positive(64, seed=5)) > 0.5  # measured: 0.70


def test_a_shift_within_its_own_error_is_left_out():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(50, 1000))
    shrink = shrunk(errors)
    assert np.square(shrink).sum() < np.square(errors.mean(axis=0)).sum() / 2
    assert np.mean(shrink == 0) > 0.6
    np.testing.assert_allclose(shrunk(errors + 10), errors.mean(axis=0) + 10, rtol=1e-3)


def test_one_sample_says_nothing_of_its_error():
    assert not shrunk(np.ones((1, 3))).any()
    assert not corrected(two_convs(), samples(1))[1]


def test_what_is_not_finite_shifts_nothing():
    assert not shrunk(np.full((3, 2), np.nan)).any()
    assert not shrunk(np.full((3, 2), np.inf)).any()


def test_the_float_bias_is_not_shifted_where_nothing_is_quantized():
    forbidden = onnxq.Recipe.from_yaml(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "  - {id: off, why: None., match: {op: Conv}, skip: [inputs, weights]}\n"
    )
    work = work_on(two_convs(), samples(8), forbidden)
    edits = Bias().improve(work)
    assert all(np.abs(a).max() < 1e-5 for a in edits.biases.values())


def weight(name, *shape):
    return array(name, np.random.default_rng(len(name)).normal(size=shape))


def conv(inputs, outputs, name, **attributes):
    return helper.make_node("Conv", inputs, outputs, name, **attributes)


LEFT_ALONE = {
    "another op reads it too": (
        [conv(["x", "w", "c"], ["a"], "op"), helper.make_node("Add", ["a", "c"], ["y"])],
        [weight("w", 5, 3, 1, 1), weight("c", 5)],
        "others read its bias 'c' too",
    ),
    "it is computed": (
        [helper.make_node("Neg", ["d"], ["c"]), conv(["x", "w", "c"], ["y"], "op")],
        [weight("w", 5, 3, 1, 1), weight("d", 5)],
        "its bias 'c' is computed",
    ),
    "the weight is no constant": (
        [helper.make_node("MatMul", ["x", "x"], ["y"], "op")],
        [],
        "its weight is not a constant",
    ),
    "no Add": (
        [helper.make_node("MatMul", ["x", "w"], ["y"], "op")],
        [weight("w", 5, 5)],
        "no Add behind it has its bias",
    ),
    "an Add of another size": (
        [
            helper.make_node("MatMul", ["x", "w"], ["a"], "op"),
            helper.make_node("Add", ["a", "c"], ["y"]),
        ],
        [weight("w", 5, 5), weight("c", 1)],
        "its bias 'c' has not one value an output channel",
    ),
    "two readers": (
        [
            helper.make_node("MatMul", ["x", "w"], ["a"], "op"),
            helper.make_node("Add", ["a", "c"], ["b"]),
            helper.make_node("Mul", ["a", "b"], ["y"]),
        ],
        [weight("w", 5, 5), weight("c", 5)],
        "no Add behind it has its bias",
    ),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_it_leaves_alone_what_it_may_not_touch(name):
    nodes, constants, reason = LEFT_ALONE[name]
    proto = model(nodes, constants, {"x": [1, 3, 5, 5]}, {"y": [None] * 4})
    _, edits = corrected(proto, samples(4, (1, 3, 5, 5)))
    assert edits.notes == {"op": f"left alone: {reason}"}
    assert not edits


def test_a_bias_that_is_an_output_stays():
    proto = two_convs()
    proto.graph.output.append(onnx.helper.make_tensor_value_info("bias2", 1, [4]))
    _, edits = corrected(proto, samples(8))
    assert "bias2" not in edits.constants
    assert edits.notes["second"] == "left alone: others read its bias 'bias2' too"


def test_an_op_in_a_body_stays():
    proto = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1, 2] x, bool c) => (float[1, 2] y)
        <float[2, 2] w = {1.0, 2.0, 3.0, 4.0}> {
          y = If(c) <
            then_branch = then () => (t) { t = Gemm(x, w) },
            else_branch = other () => (e) { e = Identity(x) }
          >
        }
        """
    )
    data = [{"x": np.float32([[1, -2]]), "c": np.array(True)}] * 2
    _, edits = corrected(proto, data)
    assert list(edits.notes.values()) == ["left alone: it is in a body of an If, Loop or Scan"]


HOSTILE = {
    "one channel": ([conv(["x", "w"], ["y"], "op")], [weight("w", 1, 3, 1, 1)], [1, 3, 4, 4]),
    "zero channels": (
        [conv(["x", "w"], ["y"], "op")],
        [array("w", np.zeros((0, 3, 1, 1)))],
        [1, 3, 4, 4],
    ),
    "weights of zero": (
        [conv(["x", "w"], ["y"], "op")],
        [array("w", np.zeros((2, 3, 1, 1)))],
        [1, 3, 4, 4],
    ),
    "groups": (
        [conv(["x", "w", "c"], ["y"], "op", group=2)],
        [weight("w", 6, 2, 3, 3), weight("c", 6)],
        [2, 4, 5, 5],
    ),
    "transposed groups": (
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], "op", group=2)],
        [weight("w", 4, 3, 2, 2)],
        [2, 4, 5, 5],
    ),
    "factors": (
        [helper.make_node("Gemm", ["x", "w", "c"], ["y"], "op", alpha=2.0, beta=0.5)],
        [weight("w", 3, 4), weight("c", 1, 4)],
        [6, 3],
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("batch", ["fixed", "dynamic"])
def test_odd_shapes(name, batch):
    nodes, constants, shape = HOSTILE[name]
    declared = shape if batch == "fixed" else ["N", *shape[1:]]
    proto = model(nodes, constants, {"x": declared}, {"y": [None] * len(shape)})
    data = samples(16, tuple(shape))
    if batch == "dynamic":
        data = [{"x": np.concatenate([s["x"]] * (1 + i % 2))} for i, s in enumerate(data)]
    work, edits = corrected(proto, data)
    if name == "zero channels":
        assert edits.notes == {"op": "left alone: it has no output channels"}
        return
    after = work.subject.edited(edits)

    def error(quantized):
        outputs = (captured(p, ["y"], data) for p in (proto, quantized))
        return abs(np.mean([np.mean(a["y"] - b["y"]) for a, b in zip(*outputs, strict=True)]))

    assert error(after.quantized()) <= error(work.subject.quantized())


def test_constant_inputs_are_corrected_exactly():
    data = [{"x": np.full((1, 3, 8, 8), 2.0, np.float32)} for _ in range(4)]
    work, edits = corrected(two_convs(), data)
    after = work.subject.edited(edits).quantized()
    for values, reference in zip(captured(after, ["y"], data), work.judge.references, strict=True):
        np.testing.assert_allclose(values["y"], reference["y"], rtol=1e-3, atol=1e-3)


def rendered(seed):
    """A picture with characters as YOLOX takes it: BGR, channels first."""
    picture = np.asarray(characters(seed), np.float32)[..., ::-1]
    return np.ascontiguousarray(picture.transpose(2, 0, 1))[None]


@pytest.mark.long
def test_a_trained_detector_gains(yolox):
    pictures = [{"images": rendered(seed)} for seed in range(24)]
    work = work_on(str(yolox), pictures[:16])
    assert gain(work, Bias().improve(work), pictures[16:]) > 0.2


def through_transpose():
    """A Conv without a bias whose weight is computed from a stored one."""
    return model(
        [
            helper.make_node("Transpose", ["t"], ["w"], perm=[1, 0, 2, 3]),
            conv(["x", "w"], ["y"], "op"),
        ],
        [weight("t", 3, 5, 1, 1)],
        {"x": [1, 3, 8, 8]},
        {"y": [1, 5, 8, 8]},
    )


def in_half():
    """Two Convs in float16, of which the first has no bias."""
    proto = two_convs()
    for tensor in proto.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    for port in (*proto.graph.input, *proto.graph.output):
        port.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    return proto


@pytest.mark.parametrize(
    ("make", "dtype"), [(through_transpose, np.float32), (in_half, np.float16)]
)
def test_a_new_bias_has_the_type_of_the_weight(make, dtype):
    data = [{"x": s["x"].astype(dtype)} for s in positive(16)]
    work, edits = corrected(make(), data)
    after = onnxq.load(work.subject.edited(edits).model)
    (node,) = edits.biases
    bias = after.graph.by_name[node].inputs[2]
    assert after.graph.array(bias).dtype == dtype
    assert after.graph.array(bias).any()


def test_behind_changed_biases_it_aims_at_the_float_model():
    work, edits = corrected(two_convs(), positive(32))
    again = replace(work, subject=work.subject.edited(edits), exact=work.subject.model)
    assert gain(again, Bias().improve(again), positive(32)) > -0.05
