"""Twelve placements of one network: the order by cost, why each loses, and that the fix helps."""

import numpy as np
import onnx
import pytest

from onnxq import quantize
from onnxq.api.subjects import lineage_from
from onnxq.cost.gpu import load
from onnxq.verification import tensorrt
from onnxq.verification.costing import Costing
from onnxq.verification.origins import PlanSources
from tests.once import made_once

from .placements import PLACEMENTS, SIZE, network

# By placement: the code of its loss, words of the line, and the choices that the fix changes.
LOSSES = {
    "no pair on the skip": ("OQ693", "let the Add read the DequantizeLinear", {"skip": "same"}),
    "skip of another scale": ("OQ693", "let all its readers share one pair", {"skip": "same"}),
    "concat of unequal scales": ("OQ692", "one scale", {"parts": (0.05, 0.05)}),
    "concat requantized": ("OQ694", "one scale (share_scale)", {"parts": (0.05, 0.05)}),
    "one Conv": ("OQ692", "put a pair on each of its inputs", {"only": None}),
    "weights alone": ("OQ692", "quantize both, or neither", {"pairs": True}),
    "pair behind a product": ("OQ694", "behind the activation", {"behind_product": False}),
    "rounded twice": ("OQ694", "remove one of the two pairs", {"twice": False}),
    "pair before the pool": ("OQ692", "put a pair behind that op", {"pooled": "behind"}),
    "wrong axis": ("OQ692", "one scale for each output channel, on its axis", {"axis": 0}),
}


ONE_CONV = """schema: 1
extends: trt-int8
rules:
  - id: all-but-one
    why: To see what the rest costs in float.
    match: {not: {name: mix}}
    skip: all
"""


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    """The cost of every placement, and of each with its fix."""
    fixed = {name: PLACEMENTS[name] | change for name, (_, _, change) in LOSSES.items()}
    choices = {**PLACEMENTS, **{f"{name}, fixed": choice for name, choice in fixed.items()}}

    def make(folder):
        for index, choice in enumerate(choices.values()):
            onnx.save(network(**choice), folder / f"{index}.onnx")

    folder = made_once(tmp_path_factory, "placements", make)
    paths = [folder / f"{index}.onnx" for index in range(len(choices))]
    float_model = paths[list(choices).index("none")]
    with lineage_from(float_model, paths, None, (), PlanSources()) as lineage:
        costing = Costing(
            float_model=lineage.float_model, options=tensorrt.DEFAULTS, gpu=load("l4")
        )
        return dict(zip(choices, map(costing.report, lineage.qdq), strict=True))


def test_the_order_is_that_of_the_kernels(costs):
    """From int8 everywhere to no int8, and beyond that to weights that are dequantized."""
    order = (
        "all",
        "pair before the pool",  # the last, smallest Conv in float
        "wrong axis",  # the same, and its input is rounded in a kernel of its own
        "no pair on the skip",  # 64 channels stored in float too
        "concat of unequal scales",  # the largest Conv in float, and what it reads
        "one Conv",  # all others in float
        "none",
        "weights alone",
    )
    seconds = [costs[name].qdq.seconds for name in order]
    assert seconds == sorted(seconds)
    assert len(set(seconds)) == len(seconds)
    bytes_ = {name: cost.qdq.bytes for name, cost in costs.items()}
    # Arithmetic alone: a few scales more, no tensor more.
    for name in ("concat requantized", "pair behind a product", "rounded twice"):
        assert 0 < bytes_[name] - bytes_["all"] < 100
    assert abs(bytes_["skip of another scale"] - bytes_["no pair on the skip"]) < 100


def test_int8_beats_fp16_where_it_is_placed_well(costs):
    assert costs["all"].ratio < 0.75
    assert costs["concat of unequal scales"].ratio > 1
    assert costs["weights alone"].ratio > costs["none"].ratio > 1


def test_what_placed_well_loses_is_what_no_pair_can_change(costs):
    assert [loss.code for loss in costs["all"].losses] == ["OQ696"]
    assert [loss.code for loss in costs["none"].losses] == ["OQ696"]


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_names_its_fix(costs, name):
    code, words, _ = LOSSES[name]
    fixes = [loss.fix for loss in costs[name].losses if loss.code == code]
    assert any(words in fix for fix in fixes), costs[name].losses


@pytest.mark.parametrize("name", LOSSES)
def test_the_fix_removes_the_loss(costs, name):
    before, after = costs[name], costs[f"{name}, fixed"]
    assert after.qdq.seconds < before.qdq.seconds
    assert [loss.code for loss in after.losses] == ["OQ696"]


@pytest.mark.parametrize("name", ["no pair on the skip", "one Conv"])
def test_losses_name_nodes_and_kernels_of_the_engine(costs, name):
    cost = costs[name]
    kernels = {kernel.name for step in cost.qdq.steps for kernel in step.kernels}
    for loss in cost.losses:
        assert loss.nodes
        assert set(loss.kernels) <= kernels


def test_half_precision_removes_what_fp32_costs(tmp_path):
    """The pair-less end of the best placement, and a network with pairs on one Conv alone."""
    float_model = network(**PLACEMENTS["none"])
    data = np.random.default_rng(0).normal(size=(4, 1, 4, SIZE, SIZE)).astype(np.float32)
    data = list(data)
    rules = tmp_path / "one.yaml"
    rules.write_text(ONE_CONV)
    for recipe in ("trt-int8", rules):
        fp32, fp16 = (
            quantize(
                float_model, data, recipe, float_type=dtype, backend="tensorrt-rtx", gpu="l4"
            ).report.cost
            for dtype in ("fp32", "fp16")
        )
        assert "OQ696" in {loss.code for loss in fp32.losses}
        assert fp16.losses == ()
        assert fp16.qdq.seconds < 0.85 * fp32.qdq.seconds
        assert fp16.ratio < 1


def test_losses_are_sorted_by_what_they_move(costs):
    for cost in costs.values():
        moved = [loss.bytes for loss in cost.losses]
        assert moved == sorted(moved, reverse=True)


def test_the_copy_of_a_skip_costs_what_the_better_placement_saves(costs):
    """64 channels of 64x64 in float, written and read; the better one reads them in int8."""
    (copy,) = (x for x in costs["no pair on the skip"].losses if x.code == "OQ693")
    assert copy.bytes == 2 * 64 * 64 * 64 * 4
    saved = costs["no pair on the skip"].qdq.bytes - costs["all"].qdq.bytes
    assert abs(saved - (copy.bytes - 64 * 64 * 64)) < 100
