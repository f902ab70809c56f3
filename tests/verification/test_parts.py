"""Channels of one output that differ much in power, compared apart."""

import numpy as np
import pytest
from onnx import TensorProto

from onnxq import verify
from onnxq.diagnostics import OnnxqError
from onnxq.verification import compare
from onnxq.verification.numeric.groups import groups
from onnxq.verification.numeric.parts import parse_parts
from tests.onnx_text import graph as graph_of

from .models import Builder, fed, saved

RNG = np.random.default_rng(0)


def samples(count, *shape, channels, seed=0):
    """Noise with a size of its own for each channel of axis 1."""
    rng = np.random.default_rng(seed)
    sizes = np.reshape(channels, (1, -1) + (1,) * (len(shape) - 2))
    return [(rng.normal(size=shape) * sizes).astype(np.float32) for _ in range(count)]


def model(output_shape=("n", 8, "m")):
    """x -> Identity -> y"""
    shape = ", ".join(map(str, output_shape))
    return graph_of(f"g (float[{shape}] x) => (float[{shape}] y) {{ y = Identity(x) }}")


BOXES_AND_SCORES = [300.0] * 4 + [0.1, 0.001, 0.1, 0.01]


@pytest.mark.parametrize(
    ("channels", "borders"),
    [
        (BOXES_AND_SCORES, (4,)),
        ([0.1] * 6 + [90.0] * 2, (6,)),
        ([300.0] * 4 + [0.02] + [300.0] * 3, (4, 5)),
        ([300.0] * 4 + [0.5] * 2 + [0.001] * 2, (4, 6)),
    ],
    ids=["boxes, scores", "scores, boxes", "boxes, score, landmarks", "boxes, masks, scores"],
)
@pytest.mark.parametrize("shape", [(1, 8, 50), (2, 8, 5, 5), (40, 8)])
def test_groups_by_power(channels, borders, shape):
    assert groups(model(), "y", samples(4, *shape, channels=channels)) == (1, borders)


def test_groups_on_the_last_axis_beside_a_varying_one():
    arrays = [
        a.transpose(0, 2, 1)[:, : 20 + i]
        for i, a in enumerate(samples(3, 1, 8, 50, channels=BOXES_AND_SCORES))
    ]
    assert groups(model(("n", "m", 8)), "y", arrays) == (2, (4,))


@pytest.mark.parametrize(
    "channels",
    [
        [1.0] * 8,
        [1.0, 3.0, 0.5, 9.0, 1.0, 1.0, 2.0, 0.5],  # logits
        [1.0] * 5 + [90.0] + [1.0] * 2,  # a hidden state with an outlier
        [50.0, 0.1, 0.1, 50.0, 0.1, 0.1, 50.0, 0.1],  # classes that are seen, and others
        [300.0] * 4 + [0.0] * 4,
    ],
    ids=["even", "uneven", "outlier", "scattered", "nothing there"],
)
@pytest.mark.parametrize("shape", [(1, 8, 50), (1, 8)])
def test_one_group(channels, shape):
    assert groups(model(), "y", samples(4, *shape, channels=channels)) is None


def test_rows_of_a_map_that_are_bright_in_one_sample_are_no_group():
    rows = np.full((3, 1, 1, 12, 12), 1e-4, np.float32)
    for index, sample in enumerate(rows):
        sample[:, :, 4 * index : 4 * index + 4] = 1
    assert groups(model((1, 1, 12, 12)), "y", list(rows)) is None


def test_one_sigmoid_is_one_kind_whatever_its_power():
    graph = graph_of("g (float[1,8,50] x) => (float[1,8,50] y) { y = Sigmoid(x) }")
    seen = samples(4, 1, 8, 50, channels=[0.5] * 2 + [1e-4] * 6)
    assert groups(graph, "y", seen) is None
    assert groups(model(), "y", seen) == (1, (2,))


HEADS = """
g (float[1,4,20] x, float[1,2,20] s) => (float[1,20,6] y) {
  p = Sigmoid(s)
  joined = Concat<axis=1>(x, p)
  y = Transpose<perm=[0,2,1]>(joined)
}"""
LEVELS = """
g (float[1,4,4,4] x1, float[1,2,4,4] s1, float[1,4,2,2] x2, float[1,2,2,2] s2)
=> (float[1,20,6] y) {
  p1 = Sigmoid(s1)
  p2 = Sigmoid(s2)
  c1 = Concat<axis=1>(x1, p1)
  c2 = Concat<axis=-3>(x2, p2)
  shape1 = Constant<value_ints=[1,6,16]>()
  shape2 = Constant<value_ints=[1,6,4]>()
  f1 = Reshape(c1, shape1)
  f2 = Reshape(c2, shape2)
  joined = Concat<axis=2>(f1, f2)
  y = Transpose<perm=[0,2,1]>(joined)
}"""


@pytest.mark.parametrize("text", [HEADS, LEVELS], ids=["one head", "two levels"])
def test_a_tenth_of_the_power_is_enough_where_a_concat_joins_scores(text):
    arrays = [a.transpose(0, 2, 1) for a in samples(4, 1, 6, 20, channels=[1.0] * 4 + [0.3] * 2)]
    assert groups(graph_of(text), "y", arrays) == (2, (4,))
    assert groups(model((1, 20, 6)), "y", arrays) is None


def detector(fault=0.0):
    """Boxes in pixels and scores from 0 to 1 in one output y, [1, 6, 16]; a fault in the scores."""
    build = Builder()
    rows = build.op("Reshape", "x", build.constant(np.array([1, 6, 16])))
    boxes, logits = build.op("Split", rows, build.constant(np.array([4, 2])), axis=1, outputs=2)
    boxes = build.op("Mul", boxes, build.constant(np.float32(100)))
    noisy = build.op("Add", logits, build.constant(np.float32(fault - 3)))
    build.op("Concat", boxes, build.op("Sigmoid", noisy), name="y", axis=1)
    return build.model("y_out", shape=(1, 6, 4, 4))


def test_figures_of_parts_against_numpy():
    data = [RNG.normal(size=(1, 6, 4, 4)).astype(np.float32) for _ in range(12)]
    (output,) = compare(detector(), detector(0.5), fed(data)).outputs
    assert [p.name for p in output.parts] == ["y_out[:,:4]", "y_out[:,4:]"]
    boxes, scores = output.parts
    before, after = (
        1 / (1 + np.exp(3 - f - np.stack(data).reshape(12, 6, 16)[:, 4:].astype(np.float64)))
        for f in (0.0, 0.5)
    )
    by_sample = 10 * np.log10((before**2).sum((1, 2)) / ((before - after) ** 2).sum((1, 2)))
    assert scores.sqnr_db == pytest.approx(
        10 * np.log10((before**2).sum() / ((before - after) ** 2).sum()), abs=1e-3
    )
    assert scores.worst_sqnr_db == pytest.approx(by_sample.min(), abs=1e-3)
    assert scores.worst_sample == f"sample {by_sample.argmin()}"
    assert scores.max_abs_error == pytest.approx(np.abs(before - after).max(), abs=1e-5)
    assert scores.where == "[:,4:]"
    assert boxes.sqnr_db == float("inf")
    assert output.sqnr_db > 60 > 10 > scores.sqnr_db


def test_the_verdict_goes_by_the_worst_part(tmp_path):
    data = [RNG.normal(size=(1, 6, 4, 4)).astype(np.float32) for _ in range(2)]
    float_model, qdq = detector(), detector(0.5)
    options = {"data": data, "backend": "onnxruntime"}

    def misses(**more):
        report = verify(float_model, qdq, **options, **more)
        return [d.message for d in report.diagnostics if d.code == "OQ604"]

    (missed,) = misses(min_sqnr=20)
    assert missed.startswith("the SQNR of part 'y_out[:,4:]' of output 'y_out' is ")
    assert misses(min_sqnr={"y_out": 20}) == [missed]
    assert not misses(min_sqnr=5)
    named = {"scores": "y_out[:,4:]"}
    (missed,) = misses(parts=named, min_sqnr=["20"])
    assert missed.startswith("the SQNR of part 'scores' of output 'y_out' is ")
    assert misses(parts=named, min_sqnr=["scores:20", "5"]) == [missed]
    assert not misses(parts=named, min_sqnr=["20", "scores:5"])
    assert not misses(parts=named, min_cosine={"scores": 0.9})
    assert len(misses(parts=named, min_cosine={"scores": 1})) == 1


def test_what_no_named_part_has_is_the_rest():
    data = [RNG.normal(size=(1, 6, 4, 4)).astype(np.float32) for _ in range(2)]
    parts = ["first=y_out[..., 0]", "scores=y_out[:,4:]"]
    (output,) = compare(detector(), detector(0.5), fed(data), parts=parts).outputs
    assert [(p.name, p.values) for p in output.parts] == [
        ("first", 12),
        ("scores", 64),
        ("rest of y_out", 120),
    ]
    every = ["a=y_out[:,:4]", "b=y_out[:,4:]"]
    (output,) = compare(detector(), detector(0.5), fed(data), parts=every).outputs
    assert [p.name for p in output.parts] == ["a", "b"]


def test_parts_of_integers_and_of_shapes_that_vary():
    build = Builder()
    build.op("Cast", build.op("Mul", "x", build.constant(np.float32(9))), name="y", to=7)
    integers = build.model("y_out", shape=("n", 4), dtype=TensorProto.INT64)
    data = [np.ones((rows, 4), np.float32) for rows in (3, 1)]
    (output,) = compare(integers, integers, fed(data), parts={"row": "y_out[2]"}).outputs
    row, rest = output.parts
    assert (row.values, row.equal, row.sqnr_db) == (4, 1.0, None)
    assert row.problem == "it has no such values in 1 sample, first in 'sample 1'"
    assert (rest.name, rest.values) == ("rest of y_out", 12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scores", "--part 'scores' is not a part: it is not NAME=OUTPUT[INDEX]"),
        ("scores=y", "--part 'scores=y' is not a part: it is not NAME=OUTPUT[INDEX]"),
        ("s=z[:,4:]", "--part 's=z[:,4:]' names 'z', which is not an output"),
        ("s=y[:,a]", "--part 's=y[:,a]' is not a part: '[:,a]' is not an index of numpy"),
        (
            "s=y[:,9:]",
            "--part 's=y[:,9:]' is not a part: 'y' of shape nx8xm has no values there",
        ),
        (
            "s=y[0,0,0,0]",
            "--part 's=y[0,0,0,0]' is not a part: 'y' of shape nx8xm has no values there",
        ),
        ("y=y[:,1]", "--part 'y' has the name of an output"),
    ],
)
def test_texts_that_are_no_part(text, message):
    with pytest.raises(OnnxqError) as caught:
        parse_parts([text], model())
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == ("OQ680", message)


def test_two_parts_of_one_name():
    with pytest.raises(OnnxqError, match="'a' has the name of another part"):
        parse_parts(["a=y[:,1]", "a=y[:,2]"], model())


@pytest.mark.parametrize("index", ["[:,4:]", "[..., -1]", "[0, 2, ::2]", "[:, -4:]"])
def test_indices_are_those_of_numpy(index):
    (part,) = parse_parts({"s": f"y{index}"}, model())
    array = np.arange(2 * 8 * 6).reshape(2, 8, 6)
    assert np.array_equal(array[part.index], eval(f"array{index}"))


def test_a_threshold_of_a_part_without_a_name_says_how_to_name_it(tmp_path):
    path = saved(detector(), tmp_path)
    with pytest.raises(OnnxqError, match=r"name the part: --part NAME=y_out\[:,4:\]"):
        verify(path, path, data=[np.ones((1, 6, 4, 4))], min_sqnr=["y_out[:,4:]:15"])


def test_parts_need_data(tmp_path):
    path = saved(detector(), tmp_path)
    with pytest.raises(OnnxqError, match="OQ680"):
        verify(path, path, parts={"s": "y_out[:,4:]"})
