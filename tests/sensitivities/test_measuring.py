"""The ranking: near the truth, by gradients and by switches, and for models of all kinds."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import onnxq
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.model.loading import load
from onnxq.model.pruning import keep_outputs
from onnxq.sensitivities import gradients, halving, measuring
from onnxq.sensitivities.gradients import by_gradients
from onnxq.sensitivities.judged import JudgedParts
from onnxq.sensitivities.measuring import measure
from onnxq.sensitivities.switches import Switches
from onnxq.torch_graph import probe
from tests.conftest import packaged
from tests.improvement.models import array, model, samples, two_convs
from tests.improvement.test_layer_norm import one_op, post_norm, rows
from tests.improvement.test_learning import line_of_text
from tests.improvement.working import work_on

from .test_switches import bodies, with_a_pair


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def by_switches(monkeypatch):
    """Rank as where torch is not installed."""
    monkeypatch.setattr(measuring, "find_spec", lambda name: None)


def ranks(values):
    return np.argsort(np.argsort(values))


def spearman(a, b):
    return np.corrcoef(ranks(a), ranks(b))[0, 1]


@pytest.fixture(scope="module")
def trained():
    """The PP-OCR direction classifier up to its features, and the truth: each pair alone."""
    loaded = load(packaged("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx"))
    pool = next(n for n in reversed(loaded.graph.nodes) if n.op == "MatMul").inputs[0]
    proto = with_inner_outputs(loaded.proto, [pool])
    keep_outputs(proto.graph, {pool})
    work = work_on(proto, [line_of_text(i) for i in range(4)])
    parts, pairs = JudgedParts.of(work.judge), list(work.subject.scales.by_pair)
    switches = Switches(work.subject, [pool], set(pairs))
    truth = np.zeros(len(pairs))
    for tensors in work.fitting:
        expected = switches.run(tensors, (), called="s")
        for i, pair in enumerate(pairs):
            truth[i] += parts.noise(expected, switches.run(tensors, {pair}, called="s")).mean()
    return work, truth / len(work.fitting)


def test_gradients_rank_as_the_truth_does_on_a_trained_model(trained):
    work, truth = trained
    parts, rng = JudgedParts.of(work.judge), np.random.default_rng(0)
    noise = by_gradients(work.subject, work.fitting, parts, rng, lambda: None).mean(axis=1)
    assert len(truth) > 100
    assert spearman(noise, truth) > 0.9
    worst = set(np.argsort(-noise)[: measuring.MEASURED])
    assert worst >= set(np.argsort(-truth)[:5])
    assert 0.7 < noise.sum() / truth.sum() < 1.4


def test_what_is_measured_is_the_truth_and_both_ways_give_one_report(trained, monkeypatch):
    work, truth = trained
    steps = []
    first = measure(work.subject, work.judge, 0, lambda *step: steps.append(step))
    monkeypatch.setattr(measuring, "find_spec", lambda name: None)
    second = measure(work.subject, work.judge, 0, lambda *step: steps.append(step))
    assert (first.estimator, second.estimator) == ("gradients", "switches")
    assert [d.code for d in second.diagnostics] == ["OQ480"]
    by_tensor = dict(
        zip(((p.tensor, p.kind) for p in work.subject.scales.by_pair), truth, strict=True)
    )
    for result in (first, second):
        ranked = {(p.tensor, p.kind): p.mean for p in result.pairs}
        assert ranked.keys() == by_tensor.keys()
        assert spearman([ranked[k] for k in by_tensor], list(by_tensor.values())) > 0.85
        measured = [p for p in result.pairs if p.is_measured]
        assert len(measured) == 14
        for pair in measured:
            assert np.isclose(pair.mean, by_tensor[pair.tensor, pair.kind], rtol=1e-3)
        assert list(result.pairs) == sorted(result.pairs, key=lambda p: -p.mean)
    assert first.total == second.total
    assert [op.node for op in first.ops] == [op.node for op in second.ops]
    assert first.to_dict().keys() == second.to_dict().keys()
    for stage, count in {"gradients": 4, "comparing": 4}.items():
        assert [done for name, done, _ in steps if name == stage][-1] == count
    runs = [(done, total) for name, done, total in steps if name == "measuring"]
    assert runs[13] == (14, 14)
    assert runs[-1] == (halving.runs(len(truth), 4),) * 2


def test_totals_add_up_and_are_those_of_verify():
    data = samples(8)
    result = onnxq.sensitivity(two_convs(), data, "trt-int8")
    assert result.added == (pytest.approx(sum(p.noise[0] for p in result.pairs)),)
    assert result.added == (pytest.approx(sum(op.noise[0] for op in result.ops)),)  # none is shared
    assert sum(result.share(p.noise) for p in result.pairs) == pytest.approx(1)
    assert result.total[0] == pytest.approx(result.added[0], rel=0.2)
    inserted = onnxq.insert(two_convs(), "trt-int8", onnxq.calibrate(two_convs(), data))
    report = onnxq.verify(two_convs(), inserted, data=data, backend="onnxruntime")
    sqnr = report.models[0].numeric.outputs[0].sqnr_db
    assert result.to_dict()["parts"][0]["sqnr_db"] == pytest.approx(sqnr, abs=0.01)


def test_ops_have_macs_and_bytes():
    result = onnxq.sensitivity(two_convs(), samples(2), "trt-int8")
    first, second = result.ops
    assert (first.macs, first.weight_bytes) == (6 * 6 * 8 * 27, 4 * 8 * 27)
    assert (second.macs, second.weight_bytes) == (6 * 6 * 4 * 8, 4 * 4 * 8)


def test_a_shared_pair_counts_once():
    rng = np.random.default_rng(0)
    weights = [array(name, rng.normal(size=(4, 3, 1, 1))) for name in ("w", "v")]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], "one"),
        helper.make_node("Conv", ["x", "v"], ["z"], "two"),
    ]
    shape = [1, 4, 8, 8]
    proto = model(nodes, weights, {"x": [1, 3, 8, 8]}, {"y": shape, "z": shape})
    result = onnxq.sensitivity(proto, samples(4), "trt-int8")
    assert [op.shared for op in result.ops] == [1, 1]
    activation = next(p for p in result.pairs if p.kind == "activation")
    assert activation.nodes == ("one", "two")
    assert all(op.activation == activation.noise for op in result.ops)
    assert result.together(["one", "two"]) == pytest.approx(result.added)
    assert result.together(["one"]) == pytest.approx(result.ops[0].noise)
    assert result.half[0] == activation
    assert result.share(result.together([])) == 0
    for op, part in zip(result.ops, result.parts, strict=True):  # weights of one are not in `z`
        assert op.weight[result.parts.index(part)] > 0
        assert op.weight[1 - result.parts.index(part)] == 0


def test_outputs_of_other_scale_count_alike():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], "conv"),
        helper.make_node("Mul", ["y", "thousand"], ["z"], "large"),
    ]
    weights = [array("w", np.random.default_rng(0).normal(size=(4, 3, 1, 1)))]
    shape = [1, 4, 8, 8]
    proto = model(
        nodes, [*weights, array("thousand", np.array(1000))], {"x": [1, 3, 8, 8]},
        {"y": shape, "z": shape},
    )  # fmt: skip
    result = onnxq.sensitivity(proto, samples(3), "trt-int8", parts=["one=y[:,:1]"])
    assert result.parts == ("one", "rest of y", "z")
    for pair in result.pairs:
        assert pair.noise[2] == pytest.approx((pair.noise[0] + 3 * pair.noise[1]) / 4, rel=0.5)
    assert result.total[2] == pytest.approx(result.total[1], rel=0.5)


def kinds():
    """Models beyond the plain: (model, data, estimator, codes)."""
    plain = samples(3)
    one = model(
        [helper.make_node("Conv", ["x", "w"], ["y"], "only")],
        [array("w", np.random.default_rng(0).normal(size=(4, 3, 3, 3)))],
        {"x": [1, 3, 8, 8]},
        {"y": [1, 4, 6, 6]},
    )
    dynamic = two_convs()
    for value in (*dynamic.graph.input, *dynamic.graph.output):
        value.type.tensor_type.shape.dim[2].dim_param = f"h{value.name}"
    sizes = [{"x": np.ones((1, 3, 8 + i, 8), np.float32) * (i + 1)} for i in range(3)]
    return {
        "one op": (one, plain, "gradients", []),
        "one sample": (two_convs(), plain[:1], "gradients", []),
        "ragged": (dynamic, sizes, "gradients", []),
        "whole numbers beside floats": (_with_argmax(), plain, "gradients", []),
        "a scalar": (_ending_in("ReduceMax", keepdims=0), plain, "gradients", []),
        "sorted rows": (_ending_in_top_k(), plain, "switches", ["OQ480"]),
        "bodies": (*bodies(), "switches", ["OQ480"]),
        "a pair that is there": (*with_a_pair(np.array(0, np.int8)), "switches", ["OQ480"]),
        "values that are not finite": (_ending_in("Log"), plain, "gradients", []),
        "gradients that are not finite": (_ending_in("Sqrt"), plain, "gradients", []),
        "a silent output": (_with_silence(), plain, "gradients", ["OQ481"]),
    }


def _with_argmax():
    proto = two_convs()
    proto.graph.node.append(helper.make_node("ArgMax", ["y"], ["i"], "best", axis=1))
    proto.graph.output.insert(
        0, helper.make_tensor_value_info("i", TensorProto.INT64, [1, 1, 6, 6])
    )
    return proto


def _ending_in_top_k():
    proto = _ending_in("Relu")
    proto.graph.initializer.append(numpy_helper.from_array(np.array([3], np.int64), "k"))
    proto.graph.node.append(helper.make_node("TopK", ["y", "k"], ["best", "at"], "top", axis=2))
    best = helper.make_tensor_value_info("best", TensorProto.FLOAT, [1, 4, 3, 6])
    proto.graph.output.append(best)
    return proto


def _ending_in(op, **attributes):
    proto = two_convs()
    proto.graph.node[-1].output[0] = "raw"
    proto.graph.node.append(helper.make_node("Relu", ["raw"], ["positive"], "last relu"))
    proto.graph.node.append(helper.make_node(op, ["positive"], ["y"], "last", **attributes))
    if attributes:
        proto.graph.output[0].type.tensor_type.ClearField("shape")
    return proto


def _with_silence():
    proto = two_convs()
    proto.graph.initializer.append(array("zero", np.zeros(1)))
    proto.graph.node.append(helper.make_node("Mul", ["y", "zero"], ["nothing"], "silence"))
    shape = [1, 4, 6, 6]
    proto.graph.output.append(helper.make_tensor_value_info("nothing", TensorProto.FLOAT, shape))
    return proto


@pytest.mark.parametrize("kind", kinds())
def test_models_of_all_kinds_have_a_ranking(kind):
    proto, data, estimator, codes = kinds()[kind]
    result = onnxq.sensitivity(proto, data, "trt-int8", ragged=kind == "ragged")
    assert (result.estimator, [d.code for d in result.diagnostics]) == (estimator, codes)
    assert result.pairs
    endless = [pair for pair in result.pairs if not np.isfinite(pair.mean)]
    assert bool(endless) == (kind == "values that are not finite")  # log(0) where it was small
    assert result.pairs[0].mean > 0
    assert "nothing" not in result.parts
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == result.to_dict()
    assert "half of the noise" in str(result)
    assert result.to_html()


def test_gradients_that_are_nowhere_finite_leave_it_to_switches(monkeypatch):
    monkeypatch.setattr(measuring, "MEASURED", 0)
    monkeypatch.setattr(gradients, "by_gradients", lambda *_: np.full((4, 1), np.nan))
    result = onnxq.sensitivity(two_convs(), samples(2), "trt-int8")
    assert result.estimator == "switches"
    assert "gradients of 4 pairs are not finite" in result.diagnostics[0].message


def test_gradients_that_take_too_much_memory_leave_it_to_switches(monkeypatch):
    monkeypatch.setattr(probe, "MEMORY", 100)
    result = onnxq.sensitivity(two_convs(), samples(2), "trt-int8")
    assert result.estimator == "switches"
    assert "more than 4 GiB" in result.diagnostics[0].message


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import onnxq
from tests.improvement.models import samples, two_convs
result = onnxq.sensitivity(two_convs(), samples(3))
print(result.estimator, len(result.pairs), result.diagnostics[0].message)
"""


def test_without_torch_pairs_are_switched():
    command = [sys.executable, "-c", WITHOUT_TORCH]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.startswith("switches 4 pairs are switched on one at a time: torch is not")


@pytest.mark.parametrize(
    ("proto", "options", "code"),
    [
        (_ending_in("Floor"), {}, "OQ481"),
        (_ending_in("IsNaN"), {}, "OQ477"),
        (two_convs(), {"parts": ["a=b[:]"]}, "OQ680"),
    ],
)
def test_what_has_no_ranking_ends_with_a_code(proto, options, code):
    quiet = [{"x": np.zeros((1, 3, 8, 8), np.float32)}]
    if code == "OQ477":
        proto.graph.output[0].type.tensor_type.elem_type = TensorProto.BOOL
    else:
        proto.graph.initializer[-1].CopyFrom(array("bias2", np.zeros(4)))
    with pytest.raises(onnxq.OnnxqError) as raised:
        onnxq.sensitivity(proto, quiet, "trt-int8", **options)
    assert [d.code for d in raised.value.diagnostics] == [code]


def test_a_part_of_whole_numbers_is_told():
    result = onnxq.sensitivity(_with_argmax(), samples(2), "trt-int8", parts=["p=i[:,:1]"])
    assert [d.code for d in result.diagnostics] == ["OQ481"]
    assert "'p' is of 'i', which is not float" in result.diagnostics[0].message


def test_an_improvement_is_what_is_ranked():
    proto, data = post_norm(one_op), rows(8, 1)
    statistics = onnxq.calibrate(proto, data)
    without = ["equalize", "learn", "rounding", "bias"]
    improvement = onnxq.improve(proto, data, statistics=statistics, without=without)
    assert improvement.divisors
    before, after = (
        onnxq.sensitivity(proto, data, statistics=statistics, improvement=i)
        for i in (None, improvement)
    )
    noise = [next(p.mean for p in r.pairs if p.kind == "activation") for r in (before, after)]
    assert noise[0] > 4 * noise[1]
    assert all(b > 2 * a for b, a in zip(before.total, after.total, strict=True))
    with pytest.raises(onnxq.OnnxqError) as raised:
        onnxq.sensitivity(proto, data, "trt-fp8", statistics, improvement=improvement)
    assert raised.value.diagnostics[0].code == "OQ476"


def test_equal_seeds_give_equal_figures_and_others_do_not(monkeypatch):
    monkeypatch.setattr(measuring, "MEASURED", 1)
    once, again, other = (
        onnxq.sensitivity(two_convs(), samples(6), "trt-int8", seed=s).to_dict() for s in (1, 1, 2)
    )
    assert once == again
    assert once != other


def test_the_calibration_is_of_all_samples_and_the_ranking_of_some(tmp_path):
    data, path = samples(40), tmp_path / "made.npz"
    result = onnxq.sensitivity(two_convs(), data, "trt-int8", calibration_output=path)
    assert result.samples == 32
    assert result.measured_on == 8
    assert onnxq.Statistics.load(path).samples == 40
    few = onnxq.sensitivity(two_convs(), data, "trt-int8", samples=5)
    assert few.samples == 5
    asked = onnxq.sensitivity(two_convs(), data, "trt-int8", samples=50)
    assert [d.code for d in asked.diagnostics] == ["OQ427"]


def test_data_that_can_be_read_once_needs_statistics():
    data = samples(3)
    unread = (s for s in data)
    with pytest.raises(onnxq.OnnxqError, match="sensitivity reads it twice"):
        onnxq.sensitivity(two_convs(), unread, "trt-int8")
    assert len(list(unread)) == 3
    statistics = onnxq.calibrate(two_convs(), data)
    assert onnxq.sensitivity(two_convs(), (s for s in data), "trt-int8", statistics).samples == 3


def test_noise_without_end_is_a_figure(monkeypatch):
    result = onnxq.sensitivity(two_convs(), samples(2), "trt-int8")
    worst, *others = result.pairs
    endless = replace(result, pairs=(replace(worst, noise=(np.inf,)), *others), total=(np.inf,))
    assert endless.share(endless.pairs[0].noise) == 1
    assert endless.share(endless.pairs[1].noise) == 0
    assert endless.half == endless.pairs[:1]
    assert json.dumps(endless.to_dict(), allow_nan=False)
    assert "-inf" in str(endless)
    assert endless.to_html()
