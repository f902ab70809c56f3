"""The summary of what differs between two plans."""

import pytest

import onnxq
from tests.onnx_text import model

THREE = """
three (float[1,4,8,8] x) => (float[1,4,8,8] y) <float[4,4,1,1] w> {
    [one] a = Conv (x, w)
    [two] b = Conv (a, w)
    [three] y = Conv (b, w)
}
"""


def rules(tmp_path, name, text):
    path = tmp_path / f"{name}.yaml"
    path.write_text(f"schema: 1\nextends: trt-int8\nrules:\n{text}")
    return path


@pytest.fixture
def compared(tmp_path):
    """The changes from the shipped recipe to rules of one's own, and back."""

    def compared(text):
        path = rules(tmp_path, "mine", text)
        plans = [onnxq.plan(model(THREE), recipe) for recipe in ("trt-int8", path)]
        return onnxq.plan_changes(*plans), onnxq.plan_changes(*plans[::-1])

    return compared


def test_ops_of_one_rule_are_one_sentence(compared):
    there, back = compared("  - {id: head, why: w, match: {name: t*}, skip: [all]}\n")
    (sentence,) = there.summary
    assert sentence.startswith("2 Convs become float, by rule 'head' (")
    assert sentence.endswith("mine.yaml:4)")
    assert back.summary[0].startswith("2 Convs become int8, by rule 'weighted-ops'")
    assert len(there) == 8
    assert {line[0] for line in there} == {"-", "+"}


def test_the_rule_with_most_ops_comes_first(compared):
    there, _ = compared(
        "  - {id: first, why: w, match: {name: one}, skip: [all]}\n"
        "  - {id: others, why: w, match: {name: t*}, quantize: {inputs: {method: max}}}\n"
    )
    begins = [sentence.partition(" (")[0] for sentence in there.summary]
    assert begins == [
        "2 Convs are quantized otherwise, by rule 'others'",
        "1 Conv becomes float, by rule 'first'",
    ]


def test_plans_that_decide_alike_have_no_changes(compared):
    there, _ = compared("  - {id: same, why: w, match: {name: none}, skip: [all]}\n")
    assert not there
    assert there.summary == there.lines == ()
    assert str(there).strip() == "the plans are the same"
