"""What `onnxq insert` says of rule files: the place, the line, a caret and a fix."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.onnx_text import model as from_text

from .conftest import RULES


def changed(old, new):
    assert old in RULES
    return RULES.replace(old, new)


def refused(here, text, code, **options):
    """The three lines told of a bad rule file: message, source line and caret."""
    (here / "bad.yaml").write_text(text)
    told = here.refuses(code, "insert", "--rules", "bad.yaml", lines=3, **options)
    message, source, caret = told.splitlines()
    place, line, column = message.split(": ")[0].split(":")
    assert place == "bad.yaml"
    assert source[2:].split() == text.splitlines()[int(line) - 1].split()
    assert caret == " " * (2 + int(column) - 1) + "^"
    return message, source[2:][int(column) - 1 :]


def test_unknown_recipe(here):
    told = here.refuses("OQ101", "insert", "--rules", "yollo")
    assert "did you mean 'yolo'?" in told
    told = here.refuses("OQ101", "calibrate", "model.onnx", "--data", "imgs", "--rules", "x.yaml")
    assert "'x.yaml'" in told


def test_folder_as_recipe(here):
    here.refuses("OQ101", "insert", "--rules", "imgs")


@pytest.mark.parametrize(
    ("old", "new", "at", "meant"),
    [
        ("quantize:", "quantise:", "quantise:", "did you mean 'quantize'?"),
        ("schema: 1", "schema: 1\nrule: []", "rule:", "did you mean 'rules'?"),
        ("match: {op", "match: {ops", "ops:", "did you mean 'op'?"),
        ("{method: max}", "{metod: max}", "metod:", "did you mean 'method'?"),
    ],
)
def test_unknown_key(here, old, new, at, meant):
    message, found = refused(here, changed(old, new), "OQ103")
    assert meant in message
    assert found.startswith(at)


@pytest.mark.parametrize(
    ("old", "new", "at", "told"),
    [
        ("{method: max}", "{method: maximum}", "maximum", "method"),
        ("{method: max}", "{method: mse, calibrator: max}", "{method", "calibrator: histogram"),
        ("{method: max}", "{method: percentile, percentile: 101}", "{method", "percentile"),
        ("{method: max}", "{dtype: int3}", "int3", "dtype"),
        ("{method: max}", "{axis: 0}", "{axis", "per_channel"),
        ("{method: max}", "max", "max", "act"),
        ("schema: 1", "schema: 2", "2", "schema"),
        ("op: Conv", "op: Convv", "Convv", "did you mean 'Conv'?"),
        ("op: Conv", "op: 3", "3", "op"),
        ("match: {op: Conv}", "match: {}", "{}", "match"),
        ("why: test", "why: [1]", "[1]", "why"),
    ],
)
def test_wrong_value(here, old, new, at, told):
    message, found = refused(here, changed(old, new), "OQ104")
    assert told in message
    assert found.startswith(at)


def test_missing_key(here):
    message, _ = refused(here, changed("    why: test\n", ""), "OQ104")
    assert "'why' is missing in rule 'convs'" in message


def test_rule_without_action(here):
    text = changed("    quantize: {inputs: act, weights: weight}\n", "")
    assert "it does nothing" in refused(here, text, "OQ104")[0]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("Add(Conv(...)", "never closed"),
        ("conv(x)", "is not an op"),
        ("Con(x)", "did you mean"),
        ("x", "must begin with an op"),
        ("Add(x + y)", "cannot have 'x + y'"),
        ("Conv(x, y := z)", "only an op or const can be named"),
        ("Conv(..., w)", "last"),
        ("Concat(*xs, y)", "last"),
        ("Conv(x, ..., group=g)", "literal"),
        ("Conv(x, ..., pads={[]: 1})", "literal"),
    ],
)
def test_bad_pattern(here, pattern, told):
    text = changed("{op: Conv}", f'{{pattern: "{pattern}"}}')
    assert told in refused(here, text, "OQ105")[0]


def test_unknown_descriptor(here):
    message, found = refused(here, changed("inputs: act", "inputs: acts"), "OQ106")
    assert "did you mean 'act'?" in message
    assert found.startswith("acts")


@pytest.mark.parametrize("port", ["input", "input[x]", "skip", "Inputs", "_"])
def test_unknown_port(here, port):
    message, _ = refused(here, changed("inputs: act", f'"{port}": act'), "OQ109")
    assert f"'{port}'" in message


def test_same_id_twice(here):
    rule = RULES[RULES.index("  - id") :]
    message, found = refused(here, RULES + rule, "OQ108")
    assert "rule 'convs': the id is used twice" in message
    assert found.startswith("convs")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("op: Conv}", "op: Conv", ""),
        ("why: test", "why: test: again", "mapping values"),
        ("{op: Conv}", "{name: *Conv}", "quote a leading *"),
        ("why: test", "why: &a test", "anchors"),
        ("why: test", "why: !!str test", "tag"),
        ("    why: test\n", "    why: test\n    why: again\n", "given twice, first in line 7"),
        ("rules:", "\trules:", "cannot start any token"),
    ],
)
def test_broken_yaml(here, old, new, told):
    assert told in refused(here, changed(old, new), "OQ102")[0]


def test_other_bytes_as_recipe(here):
    (here / "bad.yaml").write_bytes(b"schema: 1 # \xff\xfe")
    assert "UTF-8" in here.refuses("OQ102", "insert", "--rules", "bad.yaml")
    here.refuses("OQ102", "insert", "--rules", "model.onnx")


def test_recipes_that_extend_each_other(here):
    (here / "a.yaml").write_text("schema: 1\nextends: b.yaml\n")
    (here / "b.yaml").write_text("schema: 1\nextends: [trt-int8, a.yaml]\n")
    told = here.refuses("OQ107", "insert", "--rules", "a.yaml", lines=3)
    assert told.startswith("b.yaml:2:21: ")
    assert "a.yaml -> b.yaml -> a.yaml" in told


def test_missing_recipe_to_extend(here):
    text = RULES.replace("schema: 1", "schema: 1\nextends: trt-int9")
    message, found = refused(here, text, "OQ101")
    assert "did you mean 'trt-int8'?" in message
    assert found == "trt-int9"


def test_every_error_of_a_file_is_told(here):
    text = RULES.replace("why: test", "why: [1]").replace("quantize:", "quantise:")
    (here / "bad.yaml").write_text(text.replace("schema: 1", "schema: 3"))
    told = here.refuses("OQ104", "insert", "--rules", "bad.yaml", lines=9).splitlines()
    assert [line.split(":")[1] for line in told[::3]] == ["1", "7", "9"]


def test_per_channel_activation(here):
    (here / "bad.yaml").write_text(changed("inputs: act", "inputs: weight"))
    told = here.refuses("OQ204", "insert", "--rules", "bad.yaml", lines=6).splitlines()
    assert "rule 'convs': the activation 'x' of 'first'" in told[0]
    assert "rule 'convs': the activation 'b' of 'second'" in told[3]


def test_weight_read_by_entropy(here):
    text = changed("calibrator: max", "method: entropy")
    (here / "bad.yaml").write_text(text)
    told = here.refuses("OQ208", "insert", "--rules", "bad.yaml", lines=6)
    assert "'method: max'" in told


def test_method_that_needs_another_calibration(here):
    (here / "entropy.yaml").write_text(changed("{method: max}", "{method: entropy}"))
    (here / "model.calib.npz").unlink()
    data = ("--data", "imgs", "--calibrator", "max")
    assert here.run("calibrate", "model.onnx", *data).returncode == 0
    assert "entropy" in here.refuses("OQ416", "insert", "--rules", "entropy.yaml")


def test_tensor_that_was_not_observed(here):
    text = changed("op: Conv", "op: Relu").replace(", weights: weight", "")
    (here / "relu.yaml").write_text(text)
    assert "'a'" in here.refuses("OQ413", "insert", "--rules", "relu.yaml")


def test_tensor_that_is_not_float(here):
    text = """
    m (float[1,3,16,16] x) => (float[768] y) <int64[1] s> {
        r = Relu (x) a = Add (r, x) y = Reshape (a, s)
    }
    """
    proto = from_text(text)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array([768]), "s"))
    onnx.save(proto, here / "model.onnx")
    (here / "bad.yaml").write_text(
        changed("op: Conv", "op: Reshape").replace("inputs: act, weights", "'input[1]'")
    )
    outcome = here.run("calibrate", "model.onnx", "--data", "imgs")
    assert outcome.returncode == 0, outcome.stderr
    told = here.refuses("OQ213", "insert", "--rules", "bad.yaml", lines=3)
    assert "int64" in told


def test_rule_that_must_match(here):
    message, _ = refused(here, changed("op: Conv}", "op: Gemm}\n    required: true"), "OQ201")
    assert "matched nothing" in message
