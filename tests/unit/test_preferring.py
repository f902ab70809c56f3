"""Ops that are preferred in half precision: which pairs go, and where nothing changes."""

import numpy as np
import onnx
import pytest

import onnxq
from tests.onnx_text import model

RULES = """schema: 1
descriptors: {act: {amax: 4.0}}
rules:
  - {id: all, why: t, match: {op: [MatMul, Split]}, quantize: {inputs: act}}
  - {id: half, why: t, match: {attention: {}}, prefer_half: true}
"""
CUT = model(
    "m (float[1,8,48] x, float[1,8,16] z) => (float[1,8,16] y, float[1,8,8] u)"
    " <float[16,8] w, int64[3] parts = {16, 16, 16}> {"
    "[cut] q, k, v = Split<axis = 2>(x, parts) [turn] t = Transpose<perm = [0,2,1]>(k) "
    "[scores] s = MatMul(q, t) [softmax] p = Softmax<axis = -1>(s) [mixed] y = MatMul(p, v) "
    "[plain] u = MatMul(z, w) }"
)
READ_TWICE = model(
    "m (float[1,8,16] q, float[1,16,9] k, float[1,9,16] v) => (float[1,8,16] y, float[1,8,4] u)"
    " <float[16,4] w> {"
    "[scores] s = MatMul(q, k) [softmax] p = Softmax<axis = -1>(s) [mixed] y = MatMul(p, v) "
    "[other] u = MatMul(q, w) }"
)

IN_A_BODY = model(
    "m (bool c, float[1,8,16] q, float[1,16,9] k, float[1,9,16] v) => (float[1,8,16] y) {"
    "[choice] y = If (c) <then_branch = attends () => (float[1,8,16] a) {"
    "[scores] s = MatMul(q, k) [softmax] p = Softmax<axis = -1>(s) [mixed] a = MatMul(p, v) },"
    " else_branch = passes () => (float[1,8,16] b) { b = Identity(q) }> }"
)


@pytest.fixture
def rules(tmp_path):
    (tmp_path / "rules.yaml").write_text(RULES)
    return tmp_path / "rules.yaml"


def quantized(proto):
    """Nodes that read a tensor through a pair."""
    makers = {out: n for n in proto.graph.node for out in n.output}
    return {
        n.name
        for n in proto.graph.node
        if any(t in makers and makers[t].op_type == "DequantizeLinear" for t in n.input)
    }


@pytest.mark.parametrize("float_type", ["fp16", "bf16"])
def test_no_pairs_in_half_precision_nor_in_front_of_the_cut(rules, float_type):
    inserted = onnxq.insert(CUT, rules, float_type=float_type)
    assert quantized(inserted.proto) == {"plain"}
    onnx.checker.check_model(inserted.proto, full_check=True)
    assert {"scores", "mixed"}.isdisjoint(inserted.float_rest.kept)
    assert "OQ518" not in {d.code for d in inserted.diagnostics}


def test_all_pairs_in_fp32(rules):
    inserted = onnxq.insert(CUT, rules)
    assert quantized(inserted.proto) == {"cut", "scores", "mixed", "plain"}
    (told,) = [d for d in inserted.diagnostics if d.code == "OQ518"]
    assert "2 ops" in told.message
    assert "'scores'" in told.message


def test_other_readers_keep_the_pair(rules):
    assert quantized(onnxq.insert(READ_TWICE, rules, float_type="fp16").proto) == {"other"}


def test_a_body_stays_in_fp32_and_keeps_its_pairs(rules):
    plan = onnxq.plan(IN_A_BODY, rules)
    assert {k.node for k in plan.kept if k.choice == "prefer-half"} != set()
    in_half, in_fp32 = (onnxq.insert(IN_A_BODY, plan, float_type=t) for t in ("fp16", "fp32"))
    assert in_half.scales.by_pair.keys() == in_fp32.scales.by_pair.keys() != set()


def test_scales_that_were_computed_before(rules):
    plan = onnxq.plan(READ_TWICE, rules)
    scales = onnxq.scales(READ_TWICE, plan)
    inserted = onnxq.insert(READ_TWICE, plan, scales=scales, float_type="fp16")
    assert quantized(inserted.proto) == {"other"}
    assert [p.tensor for p in inserted.plan.pairs] == ["q"]
    assert np.isclose(inserted.scales["q"], 4 / 127, rtol=1e-3)


def test_out_of_range_stays_in_fp32(rules):
    """The data have the last word on the type, and what has to be in FP32 keeps its pairs."""
    large = np.full((1, 16, 9), 1e6, np.float32)
    sample = {
        "q": np.ones((1, 8, 16), np.float32),
        "k": large,
        "v": np.ones((1, 9, 16), np.float32),
    }
    statistics = onnxq.calibrate(READ_TWICE, [sample])
    inserted = onnxq.insert(READ_TWICE, rules, statistics, float_type="fp16")
    assert "out of range" in inserted.float_rest.kept["scores"]
    assert quantized(inserted.proto) == {"scores", "other"}


@pytest.mark.parametrize(("keep_fp32", "expected"), [("false", set()), ("true", {"scores"})])
def test_keep_fp32_afterwards(keep_fp32, expected, rules):
    """`false` takes an earlier `true` back, and no `prefer_half`."""
    with rules.open("a") as file:
        file.write(f"  - {{id: mine, why: t, match: {{op: MatMul}}, keep_fp32: {keep_fp32}}}\n")
    inserted = onnxq.insert(READ_TWICE, rules, float_type="fp16")
    assert quantized(inserted.proto) - {"mixed"} == {"other"} | expected


def test_a_plan_that_is_saved_and_read(rules, tmp_path):
    onnxq.plan(READ_TWICE, rules, output=tmp_path / "m.plan")
    saved = onnxq.load_plan(tmp_path / "m.plan", READ_TWICE)
    again = onnxq.insert(READ_TWICE, saved, float_type="fp16")
    assert quantized(again.proto) == {"other"}
