"""tune: goals that are reached and those that are not, and the files that it writes."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

import onnxq
from onnxq.calibration.statistics import Statistics
from onnxq.improvement.loss import Judge
from tests.improvement.models import array, model, two_convs
from tests.tuning.models import chain, conv, inputs

BAD = "/net/2/Conv"


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def worst_db(proto, qdq, data):
    loaded = onnxq.load(proto)
    judge = Judge(model=loaded.proto, graph=loaded.graph, samples=data)
    return -10 * np.log10(judge.loss(qdq))


def nodes_of(result):
    return {name for rule in result.rules for name in rule.nodes}


def test_the_op_that_brings_the_noise_goes_into_float(tmp_path):
    data, path = inputs(20), tmp_path / "t.yaml"
    before = onnxq.tune(chain(), data, min_sqnr=1, improve=False)
    assert before.passed
    assert not before.rules
    goal = before.verdict.figure + 4
    result = onnxq.tune(chain(), data, min_sqnr=goal, improve=False, output=path)
    assert result.passed
    assert BAD in nodes_of(result)
    assert result.verdict.figure >= goal > result.before.figure
    assert result.chosen.int8 > 0.5
    why = next(rule.why for rule in result.rules if BAD in rule.nodes)
    assert "% of the noise at y" in why
    assert "20.00% of the MACs" in why


def test_insert_gives_the_figures_again(tmp_path):
    data, path = inputs(20), tmp_path / "t.yaml"
    improvement = tmp_path / "t.improved.npz"
    statistics = onnxq.calibrate(chain(), data)
    result = onnxq.tune(
        chain(), data, statistics=statistics, min_sqnr=38, without=["learn"], output=path,
        improvement_output=improvement,
    )  # fmt: skip
    assert result.passed, result
    made = [
        onnxq.insert(chain(), path, statistics, improvement=improvement).proto for _ in range(2)
    ]
    assert made[0].SerializeToString() == made[1].SerializeToString()
    assert worst_db(chain(), made[0], data[4::5]) == pytest.approx(result.verdict.figure, abs=1e-3)
    assert path.read_text() == result.text


def test_improvements_are_carried_over_to_fewer_pairs(tmp_path):
    """equalize divides in front of pairs: what reads through none gets its weights back."""
    data, path = inputs(20), tmp_path / "t.yaml"
    improvement = tmp_path / "t.improved.npz"
    statistics = onnxq.calibrate(chain(), data)
    result = onnxq.tune(
        chain(), data, statistics=statistics, min_sqnr=70,
        without=["learn", "rounding", "bias", "scales"], output=path,
        improvement_output=improvement,
    )  # fmt: skip
    divided = onnxq.improve(
        chain(), data, statistics=statistics, without=["learn", "rounding", "bias", "scales"]
    )
    assert divided.divisors
    assert result.passed, "with all in float nothing is left of the noise"
    made = onnxq.insert(chain(), path, statistics, improvement=improvement).proto
    assert worst_db(chain(), made, data) > 70


def test_a_goal_that_nothing_reaches(tmp_path):
    path = tmp_path / "t.yaml"
    result = onnxq.tune(chain(), inputs(20), min_sqnr=90, min_int8=0.6, improve=False, output=path)
    assert not result.passed
    assert result.chosen.int8 >= 0.6
    assert [d.code for d in result.diagnostics if d.code == "OQ487"] == ["OQ487"]
    assert onnxq.plan(chain(), path)


def test_the_best_with_so_much_in_int8():
    result = onnxq.tune(chain(), inputs(20), min_int8=0.75, improve=False)
    assert result.passed
    assert result.chosen.int8 >= 0.75
    assert nodes_of(result) == {BAD}
    assert result.verdict.figure > result.before.figure


def test_a_metric_of_the_user(tmp_path):
    metric = tmp_path / "score.py"
    metric.write_text(
        "import numpy as np\n"
        "calls = []\n"
        "def near(outputs, sample):\n"
        "    print('noise')\n"
        "    y = outputs['y']\n"
        "    return -float(np.abs(y * 32 - np.round(y * 32)).mean())\n"
    )
    data = inputs(20)
    with pytest.raises(onnxq.OnnxqError, match="OQ486"):
        onnxq.tune(chain(), data, metric=f"{metric}:near", min_score=0.5, improve=False)
    result = onnxq.tune(chain(), data, metric=f"{metric}:near", min_score=-0.3, improve=False)
    assert result.passed
    assert result.float_score == pytest.approx(-0.25, abs=0.05)
    assert json.dumps(result.to_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "there is no goal"),
        ({"min_sqnr": 20, "min_score": 1, "metric": "a.py"}, "exclude each other"),
        ({"max_top1_drop": 1}, "--max-top1-drop needs --labels"),
        ({"labels": "l.csv"}, "--labels needs --max-top1-drop"),
        ({"min_score": 1}, "--min-score needs --metric"),
        ({"min_kept": 0.9}, "--min-kept needs --detections"),
        ({"detections": "yolo"}, "--detections needs --min-kept"),
        ({"detections": "yolo", "min_kept": 97}, "no share"),
        ({"min_int8": 90}, "no share"),
    ],
)
def test_goals_that_make_no_sense(options, message):
    with pytest.raises(onnxq.OnnxqError, match=message) as caught:
        onnxq.tune(chain(), inputs(12), **options)
    assert caught.value.diagnostics[0].code == "OQ485"


def test_too_few_samples():
    with pytest.raises(onnxq.OnnxqError, match="OQ471"):
        onnxq.tune(chain(), inputs(9), min_sqnr=20)


def test_a_model_of_one_op():
    weights = [array("w", np.random.default_rng(0).normal(size=(6, 6, 1, 1)))]
    proto = model([conv(["x", "w"], "y", "one")], weights, {"x": [1, 6, 8, 8]}, {"y": [1, 6, 8, 8]})
    result = onnxq.tune(proto, inputs(12), min_sqnr=100, improve=False)
    assert result.passed
    assert nodes_of(result) == {"one"}
    assert result.chosen.int8 == 0


def test_a_model_that_the_recipe_leaves_in_float(tmp_path):
    recipe = tmp_path / "none.yaml"
    recipe.write_text("schema: 1\nrules: []\n")
    result = onnxq.tune(chain(), inputs(12), recipe, min_sqnr=30, improve=False)
    assert result.passed
    assert not result.rules


def test_the_worse_of_two_outputs_counts():
    """Others are a thousand times smaller."""
    proto = chain()
    small = helper.make_node("Mul", ["y", "thousandth"], ["z"], "small")
    last = conv(["r1", "v"], "u", "side")
    wide = np.zeros((6, 6, 1, 1))
    wide[0, 1] = 1e-3
    proto.graph.node.extend([small, last])
    proto.graph.initializer.extend([array("thousandth", 1e-3), array("v", wide)])
    shape = [1, 6, 8, 8]
    proto.graph.output.extend(
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("z", "u")]
    )
    data = inputs(20)
    first = onnxq.tune(proto, data, min_sqnr=-50, improve=False)
    assert set(first.parts) == {"y", "z", "u"}
    assert first.verdict.figure == min(first.verdict.sqnr_db)
    result = onnxq.tune(proto, data, min_sqnr=first.verdict.figure + 6, improve=False)
    assert result.passed
    assert {"side", BAD} <= nodes_of(result), "they read one pair, so that they go together"


def test_control_flow():
    body = helper.make_graph(
        [conv(["x", "w"], "inner", "in_branch")], "then", [],
        [helper.make_tensor_value_info("inner", onnx.TensorProto.FLOAT, None)],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["same"], "same")], "else", [],
        [helper.make_tensor_value_info("same", onnx.TensorProto.FLOAT, None)],
    )  # fmt: skip
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], "sum", keepdims=0),
        helper.make_node("Greater", ["sum", "low"], ["positive"], "greater"),
        helper.make_node("If", ["positive"], ["b"], "if", then_branch=body, else_branch=other),
        conv(["b", "w2"], "y", "behind"),
    ]
    rng = np.random.default_rng(0)
    weights = [
        array("w", rng.normal(size=(6, 6, 1, 1))),
        array("w2", rng.normal(size=(6, 6, 1, 1))),
        array("low", -1e9),
    ]
    shape = [1, 6, 8, 8]
    proto = model(nodes, weights, {"x": shape}, {"y": shape})
    data = inputs(12)
    goal = onnxq.tune(proto, data, min_sqnr=1, improve=False).verdict.figure + 2
    result = onnxq.tune(proto, data, min_sqnr=goal, improve=False)
    assert result.passed, result
    assert result.rules


def test_names_with_wildcards_are_taken_as_they_are(tmp_path):
    path = tmp_path / "t.yaml"
    proto = chain(names="net[{}]*?'\"")
    result = onnxq.tune(proto, inputs(20), min_int8=0.75, improve=False, output=path)
    skipped = [d.edge.node for d in onnxq.plan(proto, path).decisions if d.descriptor is None]
    assert len(result.rules) == 1
    assert set(skipped) == {"net[2]*?'\""}


def test_a_recipe_of_ones_own_is_extended_from_where_the_file_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rules").mkdir()
    Path("out").mkdir()
    Path("rules/mine.yaml").write_text("schema: 1\nextends: trt-int8\nrules: []\n")
    result = onnxq.tune(
        chain(), inputs(12), "rules/mine.yaml", min_int8=0.75, improve=False, output="out/t.yaml"
    )
    assert 'extends: "../rules/mine.yaml"' in Path("out/t.yaml").read_text()
    assert result.path == Path("out/t.yaml")
    assert onnxq.plan(chain(), "out/t.yaml").decisions


def test_an_interrupted_improvement_goes_on(tmp_path):
    checkpoint = tmp_path / "run"

    def interrupting(event):
        if event.stage == "rounding" and not event.note:
            raise KeyboardInterrupt

    options = {"min_sqnr": 36, "without": ["learn"], "checkpoint": checkpoint}
    with pytest.raises(KeyboardInterrupt):
        onnxq.tune(two_convs(), pictures(), progress=interrupting, **options)
    assert checkpoint.exists()
    resumed = onnxq.tune(two_convs(), pictures(), resume=True, **options)
    whole = onnxq.tune(two_convs(), pictures(), min_sqnr=36, without=["learn"])
    assert resumed.to_dict() == whole.to_dict()
    assert not checkpoint.exists()


def pictures():
    rng = np.random.default_rng(3)
    return [{"x": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(15)]


def test_the_calibration_does_not_see_the_samples_of_the_verdict(tmp_path):
    data = inputs(20)
    for sample in data[4::5]:
        sample["x"] *= 100
    path = tmp_path / "c.npz"
    result = onnxq.tune(chain(), data, min_sqnr=1, improve=False, calibration_output=path)
    seen = onnxq.calibrate(chain(), [s for i, s in enumerate(data) if i % 5 < 4])
    assert result.calibration == path
    gathered = Statistics.load(path)
    assert gathered.samples == 16
    assert gathered["x"].range == seen["x"].range
    assert result.before.figure < 10


def test_a_checkpoint_that_is_there_stays(tmp_path):
    file = tmp_path / "precious"
    file.write_text("mine")
    for options, code in (
        ({"min_sqnr": 20}, "OQ433"),
        ({"min_sqnr": 20, "improve": False}, "OQ434"),
        ({"min_int8": 0.5}, "OQ434"),
    ):
        with pytest.raises(onnxq.OnnxqError, match=code):
            onnxq.tune(chain(), inputs(12), checkpoint=file, **options)
        assert file.read_text() == "mine"


def test_a_recipe_that_is_extended_is_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("schema: 1\nextends: trt-int8\nrules: []\n")
    Path("mine.yaml").write_text("schema: 1\nextends: base.yaml\nrules: []\n")
    before = Path("base.yaml").read_text()
    for output in ("base.yaml", "mine.yaml"):
        with pytest.raises(onnxq.OnnxqError, match="OQ502"):
            onnxq.tune(chain(), inputs(12), "mine.yaml", min_int8=0.5, output=output)
    assert Path("base.yaml").read_text() == before


def test_a_file_that_would_hide_the_shipped_recipe_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/yolo").write_text("schema: 1\nrules: []\n")
    with pytest.raises(onnxq.OnnxqError, match="would be another file"):
        onnxq.tune(chain(), inputs(12), "yolo", min_int8=0.5, output="out/t.yaml")


@pytest.mark.parametrize(
    "options", [{"min_sqnr": float("inf")}, {"max_top1_drop": -1, "labels": "l.csv"}]
)
def test_figures_that_are_no_goal(options):
    with pytest.raises(onnxq.OnnxqError, match="OQ485"):
        onnxq.tune(chain(), inputs(12), **options)


def test_ops_that_the_recipe_leaves_in_float_count(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "schema: 1\nextends: trt-int8\n"
        "rules: [{id: no, why: t, match: {name: [/net/0/Conv, /net/1/Conv]}, skip: all}]\n"
    )
    result = onnxq.tune(chain(), inputs(12), recipe, min_int8=0.5, improve=False)
    assert max(trial.int8 for trial in result.trials) == pytest.approx(0.6)
    missed = onnxq.tune(chain(), inputs(12), recipe, min_int8=0.9, improve=False)
    assert not missed.passed
    assert "the recipe itself leaves 40.0% of the MACs" in str(missed.diagnostics)
    reached = onnxq.tune(chain(), inputs(12), recipe, min_sqnr=-50, min_int8=0.9, improve=False)
    assert reached.chosen.int8 == pytest.approx(0.6)
    assert not reached.passed


def test_names_of_any_script(tmp_path):
    path = tmp_path / "t.yaml"
    proto = chain(names="n\u00e9t\U0001f600\u2028{}")
    result = onnxq.tune(proto, inputs(20), min_int8=0.75, improve=False, output=path)
    skipped = {d.edge.node for d in onnxq.plan(proto, path).decisions if d.descriptor is None}
    assert skipped == nodes_of(result) == {"n\u00e9t\U0001f600\u20282"}


def test_labels_that_do_not_fit_the_model_are_named(tmp_path):
    rng = np.random.default_rng(0)
    weights = [array("w", 3 * np.eye(6)), array("v", 2 * np.eye(6))]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "one"),
        helper.make_node("MatMul", ["a", "v"], ["y"], "two"),
    ]
    proto = model(nodes, weights, {"x": [1, 6]}, {"y": [1, 6]})
    data = [{"x": rng.normal(size=(1, 6)).astype(np.float32)} for _ in range(12)]
    wanted = [int(sample["x"].argmax()) for sample in data]
    for shift, codes in ((0, []), (1, ["OQ655"])):
        path = tmp_path / f"{shift}.csv"
        path.write_text("".join(f"data[{i}],{(c + shift) % 6}\n" for i, c in enumerate(wanted)))
        result = onnxq.tune(proto, data, max_top1_drop=50, labels=path, improve=False)
        assert [d.code for d in result.diagnostics if d.code == "OQ655"] == codes


def classes(outputs, inputs):
    """One box a sample, of the channel that is highest in one place."""
    return [(np.array([[0, 0, 1, 1]]), np.ones(1), outputs["y"][:, :, 0, 0].argmax(axis=1))]


def test_detections_that_are_kept():
    data = inputs(20)
    result = onnxq.tune(chain(), data, detections=classes, min_kept=0.8, improve=False)
    assert result.passed
    assert (result.float_score, result.verdict.figure) == (1, 1)
    (few,) = [d.message for d in result.diagnostics if "have 4 detections" in d.message]
    assert few.endswith("so that one is 25.0 %")


def test_a_goal_that_is_reached_by_less_than_the_standard_error_is_unsure():
    data = inputs(20)
    data[4]["x"] *= 8
    before = onnxq.tune(chain(), data, min_sqnr=-50, improve=False).before
    assert before.error_db > 0.1
    for less, codes in ((0.5, ["OQ488"]), (1.5, [])):
        goal = before.figure - less * before.error_db
        result = onnxq.tune(chain(), data, min_sqnr=goal, improve=False)
        assert result.passed
        assert result.looks == 1
        assert [d.code for d in result.diagnostics if d.code == "OQ488"] == codes
