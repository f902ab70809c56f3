"""The stage: what improvers are given, what is kept, what insertion makes of it."""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import pytest
from onnx import helper

import onnxq
from onnxq.improvement import registry
from onnxq.improvement.capture import captured
from onnxq.improvement.edits import Edits
from tests.improvement.models import samples, two_convs
from tests.inserting import computed

STRETCHED = """
schema: 1
extends: trt-int8
descriptors:
  wide: {dtype: int8, amax: 4000}
rules:
  - {id: wide, why: Far too wide., match: {name: second}, quantize: {inputs: wide}}
"""


class Scaled:
    """Multiplies the scale of what the second Conv reads."""

    def __init__(self, factor, seen=None):
        self.factor, self.seen = np.float32(factor), seen

    def improve(self, work):
        if self.seen is not None:
            self.seen.append(work)
        scales = {
            pair: scale * self.factor
            for pair, scale in work.subject.scales.by_pair.items()
            if pair.tensor == "b"
        }
        return Edits(scales=scales)


@pytest.fixture
def improvers(monkeypatch):
    """Replaces the improvers by those of the test, by name."""

    def replaced(**by_name):
        by_name = {name.replace("_", "-"): one for name, one in by_name.items()}
        monkeypatch.setattr(registry, "available", lambda: tuple(by_name))
        monkeypatch.setattr(registry, "improver", by_name.__getitem__)

    return replaced


@pytest.fixture
def stretched():
    """A model and a recipe that gives one of its pairs a scale far too wide."""
    return two_convs(), onnxq.Recipe.from_yaml(STRETCHED)


def test_what_helps_is_kept_and_what_does_not_is_taken_back(stretched, improvers):
    proto, recipe = stretched
    improvers(rounding=Scaled(1 / 10), bias=Scaled(30))
    before = proto.SerializeToString()
    result = onnxq.improve(proto, samples(12), recipe)
    assert proto.SerializeToString() == before
    first, second = result.steps
    assert (first.kept, second.kept) == (True, False)
    assert second.why == "samples that it did not see got worse"
    assert second.loss_before == first.loss_after < first.loss_before
    assert result.gain_db > 10
    assert (result.fitted, result.validated) == (9, 3)


def test_insertion_writes_the_model_that_was_judged(stretched, improvers):
    proto, recipe = stretched
    improvers(rounding=Scaled(1 / 10))
    data = samples(12)
    statistics = onnxq.calibrate(proto, data)
    improvement = onnxq.improve(proto, data, recipe, statistics)
    plain = onnxq.insert(proto, recipe, statistics)
    improved = onnxq.insert(proto, recipe, statistics, improvement=improvement)
    assert "improved: 0 constants, 1 scale changed" in str(improved)

    def noise(model):
        pairs = [(computed(proto, **s)[0], computed(model, **s)[0]) for s in samples(8, seed=9)]
        return sum(float(np.square(a - b).sum()) for a, b in pairs)

    assert noise(improved.proto) < noise(plain.proto) / 10
    assert {p.key: p.value for p in improved.proto.metadata_props}["onnxq.improvement"] == (
        improvement.digest
    )


def test_rules_say_which_ops_an_improver_may_act_on(stretched, improvers):
    proto, _ = stretched
    seen = []
    improvers(rounding=Scaled(0.9, seen))
    forbidden = """
rules:
  - {id: leave, why: As it is., match: {name: second}, improve: []}
"""
    recipe = onnxq.Recipe.from_yaml(f"schema: 1\nextends: trt-int8\n{forbidden}")
    plan = onnxq.plan(proto, recipe)
    assert {(i.node, bool(i.improvers), i.because.rule) for i in plan.improvable} == {
        ("first", True, "improve"),
        ("second", False, "leave"),
    }
    onnxq.improve(proto, samples(8), plan)
    assert seen[0].targets == ("first",)
    assert "may apply nothing to 1 op, by rule 'leave'" in str(plan)


def test_no_improver_sees_the_samples_that_judge_it(stretched, improvers):
    proto, recipe = stretched
    seen = []
    improvers(rounding=Scaled(1, seen))
    data = samples(9)
    onnxq.improve(proto, data, recipe)
    fitted = [s["x"].tobytes() for s in seen[0].fitting]
    assert fitted == [s["x"].tobytes() for i, s in enumerate(data) if i % 4 != 3]
    assert list(seen[0].judge.samples) == list(seen[0].fitting)


def test_an_improver_can_be_left_out(stretched, improvers):
    proto, recipe = stretched
    improvers(rounding=Scaled(1 / 10), learn=Scaled(1))
    result = onnxq.improve(proto, samples(8), recipe, without=["rounding"])
    assert [step.name for step in result.steps] == ["learn"]
    with pytest.raises(onnxq.OnnxqError, match=r"OQ470.*did you mean 'rounding'"):
        onnxq.improve(proto, samples(8), recipe, without=["roundin"])


def test_a_loss_of_the_user_decides(stretched, improvers, tmp_path):
    proto, recipe = stretched
    improvers(rounding=Scaled(1 / 10))
    (tmp_path / "own.py").write_text(
        "def loss(reference, outputs):\n    return -abs(outputs['y']).max()\n"
    )
    result = onnxq.improve(proto, samples(8), recipe, loss=tmp_path / "own.py")
    assert result.steps[0].loss_before < 0
    assert result.gain_db is None
    assert result.to_dict()["steps"][0]["before_db"] is None
    assert "loss: that of own.py" in str(result)
    assert "dB" not in str(result)
    with pytest.raises(onnxq.OnnxqError, match="OQ475"):
        onnxq.improve(proto, samples(8), recipe, loss=tmp_path / "none.py")


def test_the_file_of_a_loss_is_not_overwritten(stretched, tmp_path):
    proto, recipe = stretched
    own = tmp_path / "own.py"
    own.write_text("def loss(reference, outputs):\n    return 0.0\n")
    for improve in (onnxq.improve, partial(onnxq.quantize, improve=True)):
        with pytest.raises(onnxq.OnnxqError, match="OQ502"):
            improve(proto, samples(8), recipe, loss=own, output=own)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ZeroDivisionError('boom')", "own.py:2:.*the loss raised ZeroDivisionError: boom"),
        ("return None", "the loss gives a NoneType, not a number"),
        ("return [1.0, 2.0]", "the loss gives a list, not a number"),
        ("return float('nan')", "the loss gives NaN, not a number"),
    ],
)
def test_a_loss_that_gives_no_number_is_refused(stretched, improvers, tmp_path, body, message):
    proto, recipe = stretched
    improvers(rounding=Scaled(1 / 10))
    (tmp_path / "own.py").write_text(f"def loss(reference, outputs):\n    {body}\n")
    with pytest.raises(onnxq.OnnxqError, match=message) as raised:
        onnxq.improve(proto, samples(8), recipe, loss=tmp_path / "own.py")
    assert raised.value.diagnostics[0].code == "OQ475"


def test_outputs_that_are_whole_numbers_are_refused(stretched, improvers):
    proto, recipe = stretched
    improvers(rounding=Scaled(1 / 10))
    proto.graph.node.append(helper.make_node("ArgMax", ["y"], ["best"], "best"))
    proto.graph.output.append(helper.make_tensor_value_info("best", onnx.TensorProto.INT64, None))
    assert onnxq.improve(proto, samples(8), recipe).steps[0].kept
    del proto.graph.output[0]
    with pytest.raises(onnxq.OnnxqError, match="OQ477"):
        onnxq.improve(proto, samples(8), recipe)


class Interrupted(Scaled):
    """Stops the run once, after it gave its state away."""

    def __init__(self):
        super().__init__(1.1)
        self.states = []

    def improve(self, work):
        self.states.append({name: a.tolist() for name, a in work.state.items()})
        if not work.state:
            work.keep({"steps": np.arange(3)})
            raise KeyboardInterrupt
        return super().improve(work)


def test_an_interrupted_run_goes_on_with_the_same_result(stretched, improvers, tmp_path):
    proto, recipe = stretched
    data, checkpoint = samples(8), tmp_path / "run"
    improvers(rounding=Scaled(1 / 10), bias=Scaled(1.1), learn=Scaled(1.1))
    whole = onnxq.improve(proto, data, recipe)
    last = Interrupted()
    improvers(rounding=Scaled(1 / 10), bias=Scaled(1.1), learn=last)
    with pytest.raises(KeyboardInterrupt):
        onnxq.improve(proto, data, recipe, checkpoint=checkpoint)
    with pytest.raises(onnxq.OnnxqError, match="OQ433"):
        onnxq.improve(proto, data, recipe, checkpoint=checkpoint)
    with pytest.raises(onnxq.OnnxqError, match=r"OQ431.*another settings"):
        onnxq.improve(
            proto, data, recipe, checkpoint=checkpoint, resume=True, without=["layer-norm"]
        )
    first = Scaled(7)
    improvers(rounding=first, bias=Scaled(7), learn=last)  # those that are done do not run again
    result = onnxq.improve(proto, data, recipe, checkpoint=checkpoint, resume=True)
    assert last.states == [{}, {"steps": [0, 1, 2]}]
    assert result.digest == whole.digest
    assert not checkpoint.exists()


class Doubled:
    """Doubles what the first Conv gives, and halves what the second makes of it."""

    def improve(self, work):
        graph = work.subject.graph
        first, second = graph.array("w1") * np.float32(2), graph.array("w2") / np.float32(2)
        return Edits(constants={"w1": first, "w2": second}, moved=frozenset({"a", "b"}))


class Stopped:
    """Stops the run before there is anything to keep."""

    def improve(self, work):
        raise KeyboardInterrupt


def test_a_run_that_kept_nothing_names_no_checkpoint(stretched, improvers, tmp_path):
    proto, recipe = stretched
    improvers(rounding=Stopped())
    events = []
    with pytest.raises(KeyboardInterrupt):
        onnxq.improve(
            proto, samples(8), recipe, checkpoint=tmp_path / "c.npz", progress=events.append
        )
    assert not (tmp_path / "c.npz").exists()
    assert not [e.note for e in events if "interrupted" in e.note]


def test_activations_that_moved_are_observed_again(stretched, improvers):
    proto = two_convs()
    improvers(equalize=Doubled(), rounding=Scaled(1))
    seen = []
    improvers(equalize=Doubled(), rounding=Scaled(1, seen))
    statistics = onnxq.calibrate(proto, samples(8))
    # Doubling changes no figure, so the result may be kept or taken back: look at the candidate.
    from onnxq.improvement import runner

    subjects = []
    original = runner.Subject.edited

    def watched(self, edits):
        subjects.append(original(self, edits))
        return subjects[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner.Subject, "edited", watched)
        onnxq.improve(proto, samples(8), "trt-int8", statistics)
    scales = onnxq.scales(proto, "trt-int8", statistics)
    by_tensor = {pair.tensor: scale for pair, scale in subjects[0].scales.by_pair.items()}
    assert by_tensor["b"] == pytest.approx(2 * scales["b"], rel=1e-6)
    assert by_tensor["w1"] == pytest.approx(2 * scales["w1"], rel=1e-6)
    assert by_tensor["w2"] == pytest.approx(scales["w2"] / 2, rel=1e-6)
    assert by_tensor["x"] == scales["x"]


class Smoothed:
    """Divides what the second Conv reads by its largest magnitude in each channel."""

    def improve(self, work):
        subject = work.subject
        pair = next(p for p in subject.plan.pairs if p.tensor == "b")
        values = np.concatenate([v["b"] for v in captured(subject.model, ["b"], work.fitting)])
        divisor = np.sqrt(np.abs(values).max(axis=(0, 2, 3)) + 1e-3).astype(np.float32)
        weight = subject.graph.array("w2") * divisor[:, None, None]
        return Edits(constants={"w2": weight}, divisors={pair: divisor[:, None, None]})


def test_a_pair_behind_a_divisor(improvers, tmp_path):
    proto, data = two_convs(channels=32), samples(16)
    statistics = onnxq.calibrate(proto, data)
    improvers(equalize=Smoothed(), rounding=Scaled(1))
    improvement = onnxq.improve(proto, data, "trt-int8", statistics, output=tmp_path / "i.npz")
    assert improvement.steps[0].kept
    plain = onnxq.insert(proto, "trt-int8", statistics)
    improved = onnxq.insert(proto, "trt-int8", statistics, improvement=tmp_path / "i.npz")
    onnx.checker.check_model(improved.proto, full_check=True)
    assert "1 new divisor" in str(improved)
    (mul,) = (n for n in improved.proto.graph.node if n.op_type == "Mul")
    (quantize,) = (n for n in improved.proto.graph.node if mul.output[0] in n.input)
    assert quantize.op_type == "QuantizeLinear"
    errors = [
        sum(
            float(np.square(computed(proto, **s)[0] - computed(m, **s)[0]).sum())
            for s in samples(8, seed=9)
        )
        for m in (plain.proto, improved.proto)
    ]
    assert errors[1] < errors[0]
    assert {p.tensor for p in improved.plan.pairs} == {"x", "w1", "b/divided", "w2"}


@pytest.mark.parametrize("count", range(1, 4))
def test_too_few_samples_are_refused(stretched, improvers, count):
    improvers(rounding=Scaled(1))
    with pytest.raises(onnxq.OnnxqError, match="OQ471"):
        onnxq.improve(stretched[0], samples(count), stretched[1])


def test_an_improvement_of_something_else_is_refused(stretched, improvers):
    proto, recipe = stretched
    improvers(rounding=Scaled(1 / 10))
    improvement = onnxq.improve(proto, samples(8), recipe)
    with pytest.raises(onnxq.OnnxqError, match=r"OQ476.*with another calibration"):
        onnxq.insert(proto, recipe, onnxq.calibrate(proto, samples(7)), improvement=improvement)
    with pytest.raises(onnxq.OnnxqError, match=r"OQ476.*for another plan"):
        onnxq.insert(proto, "trt-int8", onnxq.calibrate(proto, samples(8)), improvement=improvement)
    other = two_convs(seed=5)
    with pytest.raises(onnxq.OnnxqError, match=r"OQ476.*for another model"):
        onnxq.insert(other, recipe, onnxq.calibrate(other, samples(8)), improvement=improvement)


class Halved:
    """Divides what both Convs read by 2, in the order of the graph, which is not that of names."""

    def improve(self, work):
        weights = {"x": "w1", "b": "w2"}
        pairs = {p.tensor: p for p in work.subject.plan.pairs}
        return Edits(
            constants={w: 2 * work.subject.graph.array(w) for w in weights.values()},
            divisors={pairs[x]: np.full((1, 1, 1), 2, np.float32) for x in weights},
        )


def test_a_saved_improvement_gives_the_same_file(improvers, tmp_path):
    improvers(equalize=Halved(), rounding=Scaled(1 / 10))
    proto, data = two_convs(), samples(8)
    statistics = onnxq.calibrate(proto, data)
    improvement = onnxq.improve(proto, data, loss=Falling(), statistics=statistics)
    assert len(improvement.divisors) == 2
    saved = improvement.save(tmp_path / "i.npz").path
    files = [
        onnxq.insert(proto, statistics=statistics, improvement=i).proto.SerializeToString()
        for i in (improvement, saved)
    ]
    assert files[0] == files[1]


class Falling:
    """A loss that finds every model better than the one before."""

    def __init__(self):
        self.calls = 0

    def __call__(self, reference, outputs):
        self.calls += 1
        return 1 / self.calls


def test_numbers_for_a_pair_that_is_not_there_are_refused(stretched, improvers):
    proto, recipe = stretched
    improvers(rounding=Scaled(1 / 10))
    statistics = onnxq.calibrate(proto, samples(8))
    improvement = onnxq.improve(proto, samples(8), recipe, statistics)
    stray = replace(improvement, scales={("z", "second", 0): np.float32(1)})
    with pytest.raises(onnxq.OnnxqError, match=r"OQ476.*a pair on 'z' that 'second' reads"):
        onnxq.insert(proto, recipe, statistics, improvement=stray)


def test_quantize_improves_on_the_way(stretched, improvers, tmp_path):
    proto, recipe = stretched
    onnx.save(proto, tmp_path / "m.onnx")
    improvers(rounding=Scaled(1 / 10))
    results = [
        onnxq.quantize(tmp_path / "m.onnx", samples(12), recipe, backend="onnxruntime", improve=i)
        for i in (False, True)
    ]
    plain, improved = (r.report.outputs["y"].sqnr for r in results)
    assert improved > plain + 10
    assert results[1].to_dict()["insert"]["improvement"]["steps"][0]["kept"] is True


def test_quantize_checks_what_improves_before_it_reads_a_sample(tmp_path):
    read = []

    def data():
        read.append(True)
        yield from samples(8)

    with pytest.raises(onnxq.OnnxqError, match="OQ475"):
        onnxq.quantize(two_convs(), data, improve=True, loss=tmp_path / "none.py")
    assert not read
    with pytest.raises(onnxq.OnnxqError, match="OQ470"):
        onnxq.quantize(two_convs(), data, without=["roundin"])
    with pytest.raises(onnxq.OnnxqError, match="OQ471"):
        onnxq.quantize(two_convs(), None, "trt-int4-weights", improve=True)


def test_names_of_registry_and_rules_agree():
    from onnxq.planning.improvers import IMPROVER_NAMES

    order = [IMPROVER_NAMES.index(name) for name in registry.available()]
    assert order == sorted(order)
    assert all(a != b for a, b in itertools.pairwise(order))
    assert all(hasattr(registry.improver(name), "improve") for name in registry.available())
