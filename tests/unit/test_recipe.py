import time

import pytest

from onnxq.diagnostics import OnnxqError
from onnxq.planning import recipe
from tests.planning import HEAD, recipe_of, rule


def test_shipped_recipes_load_by_name_and_by_file_name():
    for name in ("trt-int8", "trt-int8.yaml", "yolo", "yolo.yaml"):
        loaded = recipe.load(name)
        assert loaded.name == name.removesuffix(".yaml")
        assert loaded.rules


def test_a_file_comes_before_a_shipped_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe_of(tmp_path, rule("{op: Conv}", skip="all", id="mine"), name="yolo.yaml")
    assert [r.id for r in recipe.load("yolo.yaml").rules] == ["mine"]


def test_extended_rules_come_first(tmp_path):
    recipe_of(tmp_path, rule("{op: Conv}", skip="all", id="base"), name="base.yaml")
    head = HEAD.replace("schema: 1", "schema: 1\nextends: base.yaml")
    loaded = recipe_of(tmp_path, rule("{op: Conv}", skip="all", id="own"), head=head)
    assert [r.id for r in loaded.rules] == ["base", "own"]
    assert [r.own for r in loaded.rules] == [False, True]
    assert [r.span.file.rpartition("/")[2] for r in loaded.rules] == ["base.yaml", "r.yaml"]


def test_a_descriptor_of_the_same_name_replaces_the_extended_one(tmp_path):
    quantize = rule("{op: Conv}", quantize="{inputs: act}", id="base")
    recipe_of(tmp_path, quantize, name="base.yaml")
    (tmp_path / "r.yaml").write_text(
        "schema: 1\nextends: base.yaml\ndescriptors: {act: {method: mse}}\n"
    )
    ((_, descriptor),) = recipe.load(tmp_path / "r.yaml").rules[0].quantize
    assert descriptor.method == "mse"


def test_the_digest_covers_what_is_extended(tmp_path):
    (tmp_path / "r.yaml").write_text("schema: 1\nextends: base.yaml\n")
    digests = set()
    for why in ("one", "two"):
        text = rule("{op: Conv}", skip="all").replace("test", why)
        recipe_of(tmp_path, text, name="base.yaml")
        digests.add(recipe.load(tmp_path / "r.yaml").digest)
    assert len(digests) == 2


def test_a_recipe_that_extends_itself(tmp_path):
    (tmp_path / "r.yaml").write_text("schema: 1\nextends: r.yaml\n")
    with pytest.raises(OnnxqError) as caught:
        recipe.load(tmp_path / "r.yaml")
    assert caught.value.diagnostics[0].code == "OQ107"
    assert caught.value.diagnostics[0].span.line == 2


def test_ten_thousand_rules_load_in_bounded_time(tmp_path):
    rules = [
        rule(f'{{op: Conv, name: "/model.{i}/**"}}', id=f"r{i}", quantize="{inputs: act}")
        for i in range(10_000)
    ]
    began = time.process_time()
    assert len(recipe_of(tmp_path, *rules).rules) == 10_000
    assert time.process_time() - began < 60  # 15 s where this was written, nearly all of it PyYAML


@pytest.mark.parametrize(
    "pattern",
    ["Add(" * 5000 + "x" + ", ...)" * 5000, " | ".join(["Conv"] * 3000), "(" * 5000, "x" * 10**6],
    ids=["calls", "alternatives", "brackets", "long"],
)
def test_enormous_patterns_are_refused(tmp_path, pattern):
    with pytest.raises(OnnxqError) as caught:
        recipe_of(tmp_path, rule(f'{{pattern: "{pattern}"}}', skip="all"))
    assert caught.value.diagnostics[0].code == "OQ105"


def test_a_caret_inside_a_pattern(tmp_path):
    text = rule('{pattern: "Add(Conv(...), Foo)"}', skip="all")
    with pytest.raises(OnnxqError) as caught:
        recipe_of(tmp_path, text)
    (found,) = caught.value.diagnostics
    assert found.code == "OQ105"
    assert found.span.source[found.span.column - 1 :].startswith("Foo")
