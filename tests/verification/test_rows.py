"""Outputs whose rows TopK or NonMaxSuppression sorts: matched before they are compared."""

import numpy as np
import pytest

from onnxq import verify
from onnxq.model.influence import random_nodes, row_orders
from onnxq.verification import compare
from tests.onnx_text import graph, model

from .models import fed

WEIGHT = "float[5,5] w = {1,0,0,0,0, 0,1,0,0,0, 0,0,1,0,0, 0,0,0,1,0, 0,0,0,0,1}"


def selecting(error="0, 0, 0, 0, 0", batch=1):
    """The twelve rows of x [batch, 40, 5], boxes and a score, with the highest score."""
    return model(
        f"""
        g (float[{batch},40,5] x) => (float[{batch},12,4] boxes, float[{batch},12] scores)
        <{WEIGHT}, float[5] e = {{{error}}}, int64[2] parts = {{4, 1}}, int64[1] k = {{12}},
         int64[1] two = {{2}}, int64[3] four = {{1, 1, 4}}> {{
          same = MatMul(x, w)
          noisy = Add(same, e)
          raw, logit = Split<axis=2>(noisy, parts)
          flat = Squeeze(logit, two)
          [sort] scores, places = TopK<axis=1>(flat, k)
          column = Unsqueeze(places, two)
          wide = Expand(column, four)
          boxes = GatherElements<axis=1>(raw, wide)
        }}"""
    )


def rows(count, seed=0, batch=1):
    """Boxes from 0 to 400 in each sample, and scores from 0 to 1."""
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0, 400, (count, batch, 40, 4))
    return np.concatenate([boxes, rng.uniform(0, 1, (count, batch, 40, 1))], -1).astype(np.float32)


def sorting(error="0, 0, 0, 0, 0", largest=1):
    """A model that sorts 20 rows of x by their last column."""
    return model(
        f"""
        g (float[1,20,5] x) => (float[1,20,5] y)
        <{WEIGHT}, int64[1] k = {{20}}, int64[1] last = {{4}}, int64[1] two = {{2}},
         float[5] e = {{{error}}}, int64[3] wide = {{1, 1, 5}}> {{
          same = MatMul(x, w)
          [reversed] z = Add(same, e)
          score = Gather<axis=2>(z, last)
          flat = Squeeze(score, two)
          [sort] scores, places = TopK<axis=1, largest={largest}>(flat, k)
          column = Unsqueeze(places, two)
          all = Expand(column, wide)
          y = GatherElements<axis=1>(z, all)
        }}"""
    )


def test_rows_in_another_order_are_equal():
    (output,) = compare(sorting(), sorting(largest=0), fed(rows(3)[:, :, :20])).outputs
    assert (output.sqnr_db, output.equal, output.problem) == (float("inf"), 1, "")
    assert (output.rows.node, output.rows.op) == ("sort", "TopK")
    assert (output.rows.rows, output.rows.kept, output.rows.moved, output.rows.new) == (
        60,
        60,
        60,
        0,
    )


def test_the_error_of_matched_rows_is_kept():
    """Boxes are off by three pixels; by place they would seem to be off by hundreds."""
    off = sorting(largest=0, error="3, 0, 0, 0, 0")
    (output,) = compare(sorting(), off, fed(rows(3)[:, :, :20])).outputs
    assert output.max_abs_error == pytest.approx(3, abs=1e-4)
    values = rows(3)[:, :, :20].astype(np.float64)
    assert output.sqnr_db == pytest.approx(10 * np.log10((values**2).sum() / (60 * 9.0)), abs=1e-3)


@pytest.mark.parametrize("batch", [1, 3])
def test_all_outputs_of_one_sort_share_their_rows(batch):
    """A score that is off by 0.02 moves rows; box and score of a row stay together."""
    data = rows(8, batch=batch)
    noise = np.random.default_rng(3).normal(0, 0.02, (40, 5)) * [0, 0, 0, 0, 1]
    float_model = selecting(batch=batch)
    boxes, scores = compare(float_model, with_noise(float_model, noise), fed(data)).outputs
    assert boxes.rows == scores.rows
    assert boxes.rows.rows == 8 * 12 * batch
    assert 0 < boxes.rows.moved < boxes.rows.kept < boxes.rows.rows
    assert boxes.rows.new == boxes.rows.rows - boxes.rows.kept
    assert boxes.sqnr_db == float("inf")
    assert 25 < scores.sqnr_db < 40
    assert scores.max_abs_error < 0.07


def with_noise(float_model, noise):
    """The model with noise [40, 5] added before the sort."""
    changed = type(float_model)()
    changed.CopyFrom(float_model)
    (error,) = (t for t in changed.graph.initializer if t.name == "e")
    del error.float_data[:]
    error.dims[:] = noise.shape
    error.raw_data = noise.astype(np.float32).tobytes()
    return changed


def test_rows_of_another_selection_have_no_figure(tmp_path):
    """The other model selects the rows with the lowest scores: most have no counterpart."""
    worst = selecting()
    worst.graph.node[4].attribute.add(name="largest", i=0, type=2)
    options = {"data": list(rows(4)), "backend": "onnxruntime"}
    report = verify(selecting(), worst, min_sqnr=5, **options)
    boxes, scores = report.outputs.values()
    assert boxes.sqnr_db is scores.sqnr_db is None
    assert boxes.problem.startswith("TopK 'sort' sorts its rows, and only ")
    assert [d.code for d in report.diagnostics if d.code == "OQ604"] == ["OQ604"] * 2
    assert "sorts its rows" in str(report)


NMS = """
g (float[1,8,4] b, float[1,1,8] s) => (float[n,4] kept)
<float[8,8] w, int64[1] most = {8}, float[1] iou = {0.5}, int64[1] place = {2}, int64[1] one = {1},
 int64[1] zero = {0}> {
  raw = MatMul(s, w)
  chosen = NonMaxSuppression(b, raw, most, iou)
  column = Gather<axis=1>(chosen, place)
  rows = Squeeze(column, one)
  flat = Squeeze(b, zero)
  kept = Gather<axis=0>(flat, rows)
}"""


def test_which_node_sorts_the_rows_of_an_output():
    orders = row_orders(graph(NMS))
    assert {name: (o.op, o.axis) for name, o in orders.items()} == {
        "kept": ("NonMaxSuppression", 0)
    }
    orders = row_orders(graph_of(selecting()))
    assert {name: (o.node, o.axis) for name, o in orders.items()} == {
        "boxes": ("sort", 1),
        "scores": ("sort", 1),
    }


def graph_of(proto):
    from onnxq.model.graph import Graph

    return Graph(proto)


@pytest.mark.parametrize(
    "text",
    [
        # experts: the sorted values weigh channels, and no axis holds them
        """g (float[1,6,8] x) => (float[1,6,8] y) <float[8,8] w, int64[1] k = {2}> {
            z = MatMul(x, w)
            top, i = TopK(z, k)
            gate = ReduceSum<keepdims=1>(top)
            y = Mul(z, gate)
        }""",
        # the order is that of an input, so both models have the same
        """g (int64[6] x, float[6,8] d) => (float[k,8] y) <float[8,8] w> {
            i = NonZero(x)
            rows = Squeeze(i)
            z = MatMul(d, w)
            y = Gather(z, rows)
        }""",
        # positions of a shape
        """g (float[1,n] x) => (float[k,1] y) <float[1,1] w, int64[1] minus = {-1}> {
            z = MatMul(w, x)
            s = Shape(z)
            ones = ConstantOfShape(s)
            i = NonZero(ones)
            t = Transpose(z)
            f = Cast<to=1>(i)
            y = MatMul(t, f)
        }""",
    ],
    ids=["gate", "input", "shape"],
)
def test_other_sorts_leave_the_rows_alone(text):
    assert row_orders(graph(text)) == {}


def test_a_model_of_nms_is_matched_with_unequal_numbers_of_rows():
    float_model, other = model(NMS), model(NMS)
    for proto, factor in ((float_model, 1.0), (other, -1.0)):
        (weight,) = (t for t in proto.graph.initializer if t.name == "w")
        weight.raw_data = (np.eye(8, dtype=np.float32) * factor).tobytes()
    corners = np.arange(8, dtype=np.float32)[:, None] * 100
    boxes = np.concatenate([corners, corners, corners + 50, corners + 50], 1)[None]
    boxes[0, 7] = boxes[0, 6] + 5  # suppressed
    scores = np.linspace(0.9, 0.2, 8, dtype=np.float32)[None, None]
    (output,) = compare(float_model, other, fed([{"b": boxes, "s": scores}])).outputs
    assert output.rows.op == "NonMaxSuppression"
    assert (output.rows.rows, output.rows.moved) == (7, 6)
    assert output.max_abs_error == pytest.approx(5)


RANDOM = """g (float[2] x) => (float[2] y, float[2] z) {
    r = RandomNormalLike(x)
    y = Add(x, r)
    z = Neg(x)
}"""


def test_which_outputs_depend_on_random_numbers():
    found = graph(RANDOM)
    assert [[n.op for n in random_nodes(found, o)] for o in found.outputs] == [
        ["RandomNormalLike"],
        [],
    ]
