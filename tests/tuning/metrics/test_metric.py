"""What a metric gets, and which numbers it may give."""

import math

import numpy as np
import pytest

from onnxq.feeds.samples import Sample
from onnxq.tuning.metrics.metric import load_metric
from tests.onnx_text import model

from .files import MODEL, SAMPLES, problem, score, written


def test_the_score_is_the_mean_over_the_samples(folder):
    name = written(folder, "def metric(outputs, sample): return outputs['y'].mean()")
    assert score(name) == 1.5


def test_a_sample_with_two_pictures_counts_twice(folder):
    name = written(folder, "def metric(outputs, sample): return sample.count")
    two = Sample(name="a", tensors=SAMPLES[0].tensors, digest="", count=2)
    assert score(name, samples=[two, *SAMPLES[:1]]) == pytest.approx(5 / 3)


def test_a_metric_of_a_runner_gets_all_samples(folder):
    text = """
    def last(runner):
        names = [sample.name for outputs, sample in runner]
        assert names == ["0.png", "1.png", "2.png", "3.png"]
        return len(runner) + float(outputs["y"][0, 0]) + sample.number
    """
    text = text.replace(
        "names = [sample.name for outputs, sample in runner]",
        "names = []\n        for outputs, sample in runner:\n            names.append(sample.name)",
    )
    assert score(f"{written(folder, text)}:last") == 4 + 3 + 3


def test_a_runner_gives_the_samples_once(folder):
    name = written(folder, "def metric(run): return len(list(run)) + len(list(run))")
    seen = problem(score, name)
    assert (seen.code, seen.span.line) == ("OQ491", 1)
    assert "once" in seen.message


def test_a_sample_has_its_inputs_even_later(folder):
    text = """
    def metric(runner):
        samples = [sample for _, sample in runner]
        return sum(sample.inputs["x"].sum() for sample in samples)
    """
    assert score(written(folder, text)) == 3 * (0 + 1 + 2 + 3)


def test_what_it_changes_is_its_own(folder):
    text = """
    def metric(outputs, sample):
        value = outputs["y"][0, 0]
        outputs["y"][:] = sample.inputs["x"][:] = 7
        outputs.clear()
        return value
    """
    before = [sample.tensors["x"].copy() for sample in SAMPLES]
    with load_metric(written(folder, text)) as metric:
        assert metric.score(MODEL, SAMPLES) == metric.score(MODEL, SAMPLES) == 1.5
    assert all(np.array_equal(a, s.tensors["x"]) for a, s in zip(before, SAMPLES, strict=True))


VALUES = {
    "True": 1, "3": 3, "np.float16(0.5)": 0.5, "np.int8(-2)": -2, "np.bool_(True)": 1,
    "np.array(0.25)": 0.25, "torch.tensor(0.5, requires_grad=True)": 0.5, "Fraction(1, 4)": 0.25,
}  # fmt: skip


def test_scalars_of_all_kinds_are_numbers(folder):
    text = f"""
    from fractions import Fraction
    import numpy as np
    import torch
    VALUES = [{", ".join(VALUES)}]
    def metric(outputs, sample): return VALUES[sample.number]
    """
    samples = [Sample(name="a", tensors=SAMPLES[0].tensors, digest="", number=i) for i in range(8)]
    with load_metric(written(folder, text)) as metric:
        scores = [metric.score(MODEL, [sample]) for sample in samples]
    assert scores == list(VALUES.values())


def test_scalars_and_texts_of_the_model_arrive_as_they_are(folder):
    text = """
    def metric(outputs, sample):
        assert outputs["total"].shape == ()
        assert outputs["half"].dtype == "float16"
        assert outputs["text"].tolist() == ["ä", "bcd"]
        return outputs["total"]
    """
    several = model("""
    several (float[1, 3] x, string[2] words) => (float total, float16[1, 3] half, string[2] text) {
        total = ReduceSum <keepdims = 0> (x)
        half = Cast <to = 10> (x)
        text = Identity (words)
    }
    """)
    tensors = {"x": np.ones((1, 3), np.float32), "words": np.array(["ä", "bcd"], object)}
    with load_metric(written(folder, text)) as metric:
        assert metric.score(several, [Sample(name="a", tensors=tensors, digest="")]) == 3


def test_the_file_is_imported_once_for_many_scores(folder):
    text = """
    open("imports.txt", "a").write("x")
    def metric(outputs, sample): return 1
    """
    with load_metric(written(folder, text)) as metric:
        assert [metric.score(MODEL, SAMPLES) for _ in range(3)] == [1, 1, 1]
    assert (folder / "imports.txt").read_text() == "x"


def test_the_digest_is_that_of_the_function(folder):
    written(folder, "def metric(outputs, sample): return 1\nother = metric")
    written(folder, "def metric(outputs, sample): return 2", "changed.py")
    digests = set()
    for name in ("score.py", "score.py:metric", "score.py:other", "changed.py"):
        with load_metric(name) as metric:
            digests.add(metric.digest)
            assert metric.name == name
    assert len(digests) == 3


def test_what_it_imports_stands_beside_it(folder):
    (folder / "sub").mkdir()
    written(folder, "VALUE = 0.75", "sub/weights.py")
    written(folder, "import weights\ndef metric(o, s): return weights.VALUE", "sub/score.py")
    assert score("sub/score.py") == 0.75


def test_what_it_prints_is_not_seen(folder, capfd):
    text = """
    import os, sys
    print("at the import", flush=True)
    def metric(outputs, sample):
        print("to stdout", file=sys.stderr)
        os.write(1, b'{"result": 7}\\n')
        assert input is not None and sys.stdin.read() == ""
        return 1
    """
    assert score(written(folder, text)) == 1
    assert capfd.readouterr() == ("", "")


def test_a_function_of_the_program_is_called_in_it():
    seen = []

    def mean(outputs, sample):
        sample.inputs["x"][:] = 7
        seen.append(sample.name)
        return outputs["y"].mean()

    with load_metric(mean) as metric:
        assert metric.score(MODEL, SAMPLES) == 1.5
    assert metric.name.endswith("mean")
    assert seen == [sample.name for sample in SAMPLES]
    assert load_metric(lambda runner: len(list(runner))).score(MODEL, SAMPLES) == 4


def test_what_a_function_of_the_program_does_wrong():
    assert problem(load_metric, lambda outputs: 1).code == "OQ490"
    assert problem(load_metric(lambda o, s: math.nan).score, MODEL, SAMPLES).code == "OQ492"
    with pytest.raises(ZeroDivisionError):
        load_metric(lambda o, s: 1 / 0).score(MODEL, SAMPLES)
