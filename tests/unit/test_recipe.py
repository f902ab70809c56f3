import copy

import pytest
import yaml

from onnxq import shipped
from onnxq.diagnostics import OnnxqError
from onnxq.planning import cascade, plan_file, recipe
from onnxq.planning.explain import explain
from onnxq.planning.recipe import Recipe
from tests.onnx_text import graph
from tests.planning import HEAD, recipe_of, rule

CONV = "g (float[1,4,8,8] x) => (float y) <float[4,4,1,1] w> { [conv] y = Conv (x, w) }"
CONTENT = {
    "schema": 1,
    "extends": "trt-int8",
    "descriptors": {"act": {"extends": "act", "method": "percentile", "percentile": 100}},
    "rules": [
        {"id": "stem", "why": "t", "match": {"op": ["Conv"], "position": "first"}, "skip": "all"}
    ],
}


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


SECRET = "root:x:0:0"


@pytest.mark.parametrize("name", ["../secret.yaml", "secret", "link.yaml", "{folder}/secret.yaml"])
def test_files_that_no_recipe_may_extend(tmp_path, name):
    """A recipe from a stranger could have them shown in an error."""
    (tmp_path / "own").mkdir()
    for secret in ("secret.yaml", "own/secret"):
        (tmp_path / secret).write_text(SECRET)
    (tmp_path / "own/link.yaml").symlink_to("../secret.yaml")
    text = f"schema: 1\nextends: {name.format(folder=tmp_path)}\n"
    (tmp_path / "own/r.yaml").write_text(text)
    with pytest.raises(OnnxqError, match="no YAML file beside") as caught:
        recipe.load(tmp_path / "own/r.yaml")
    assert [d.code for d in caught.value.diagnostics] == ["OQ101"]
    assert SECRET not in str(caught.value)


def test_a_recipe_may_extend_what_is_below_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    (tmp_path / "base.yaml").write_text("schema: 1\nextends: yolo\n")
    (tmp_path / "own/r.yaml").write_text("schema: 1\nextends: ../base.yaml\n")
    monkeypatch.chdir(tmp_path)
    extended, shipped = (recipe.load(name).rules for name in ("own/r.yaml", "yolo"))
    assert [rule.id for rule in extended] == [rule.id for rule in shipped]


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


def test_a_recipe_made_in_python_plans_like_a_file(tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(CONTENT))
    view = graph(CONV)
    plans = [
        cascade.plan(view, loaded)
        for loaded in (
            recipe.load(tmp_path / "mine.yaml"),
            Recipe.from_dict(CONTENT, name="mine"),
            Recipe.from_yaml(yaml.safe_dump(CONTENT), name="mine"),
        )
    ]
    lines = [[line.fields()[:-1] for line in plan.lines] for plan in plans]
    assert lines[0] == lines[1] == lines[2]
    assert lines[0][0][3:] == ("float", "-", "stem")
    assert {plan.recipe for plan in plans} == {"mine"}
    assert len({plan.recipe_digest for plan in plans}) == 1
    (decision, *_) = plans[1].decisions
    assert str(decision.because.span) == "mine:rules[0]"
    assert [b.span.file for b in decision.overrides] == ["rules/trt-int8.yaml"]


def test_equal_content_gives_an_equal_digest(tmp_path):
    digest = Recipe.from_dict(CONTENT).digest
    reordered = {key: CONTENT[key] for key in reversed(CONTENT)}
    assert Recipe.from_dict(copy.deepcopy(CONTENT), name="other").digest == digest
    assert Recipe.from_dict(reordered).digest == digest
    tuples = {**CONTENT, "rules": tuple(CONTENT["rules"])}
    assert Recipe.from_dict(tuples).digest == digest
    assert Recipe.from_yaml("# a comment\n" + yaml.safe_dump(CONTENT)).digest == digest
    other = copy.deepcopy(CONTENT)
    other["rules"][0]["match"]["position"] = "last"
    assert Recipe.from_dict(other).digest != digest
    assert Recipe.from_dict({**CONTENT, "extends": "yolo"}).digest != digest


def test_shipped_recipes_as_python_values_have_the_digest_of_their_files():
    for name, path in shipped.recipes().items():
        content = yaml.safe_load(path.read_text())
        assert Recipe.from_dict(content).digest == recipe.load(name).digest


def test_loading_a_recipe_returns_it():
    made = Recipe.from_dict(CONTENT)
    assert recipe.load(made) is made


def stem(**changes):
    return {**CONTENT, "rules": [{**CONTENT["rules"][0], **changes}]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, ["OQ104 mine"]),
        ([1], ["OQ104 mine"]),
        ({**CONTENT, "extends": "trt-int9"}, ["OQ101 mine:extends"]),
        ({**CONTENT, "extends": ["trt-int8", "x.yaml"]}, ["OQ101 mine:extends[1]"]),
        ({**CONTENT, 1: 2}, ["OQ102 mine"]),
        (stem(why="\ud800"), ["OQ102 mine:rules[0].why"]),
        ({**CONTENT, "rule": []}, ["OQ103 mine:rule"]),
        (stem(match={"opp": "Conv"}), ["OQ103 mine:rules[0].match.opp"]),
        (stem(match={"op": ["Conv", "Convv"]}), ["OQ104 mine:rules[0].match.op[1]"]),
        (stem(match={"op": object}), ["OQ104 mine:rules[0].match.op"]),
        (stem(match={"pattern": "Add(Cnv(x), y)"}), ["OQ105 mine:rules[0].match.pattern"]),
        (stem(quantize={"inputs": "acct"}), ["OQ106 mine:rules[0].quantize.inputs"]),
        ({**CONTENT, "rules": CONTENT["rules"] * 2}, ["OQ108 mine:rules[1].id"]),
        (stem(skip=["all", "x"]), ["OQ109 mine:rules[0].skip[1]"]),
        (stem(skip=5, match=3), ["OQ104 mine:rules[0].match", "OQ104 mine:rules[0].skip"]),
    ],
)
def test_mistakes_in_a_recipe_made_in_python(content, expected):
    with pytest.raises(OnnxqError) as caught:
        Recipe.from_dict(content, name="mine")
    assert [f"{d.code} {d.span}" for d in caught.value.diagnostics] == expected
    assert all(d.message and d.fix for d in caught.value.diagnostics)


def test_python_values_that_contain_themselves():
    content = dict(CONTENT)
    content["rules"] = [content, content]
    with pytest.raises(OnnxqError) as caught:
        Recipe.from_dict(content)
    assert [d.code for d in caught.value.diagnostics] == ["OQ102"]


def test_a_mistake_in_the_text_of_a_recipe_has_its_line():
    with pytest.raises(OnnxqError) as caught:
        Recipe.from_yaml("schema: 1\nrule: []\n", name="mine")
    assert [f"{d.code} {d.span}" for d in caught.value.diagnostics] == ["OQ103 mine:2:1"]


def test_a_saved_plan_of_a_recipe_made_in_python(tmp_path):
    view = graph(CONV)
    plan = cascade.plan(view, Recipe.from_dict(CONTENT, name="my own:rules"))
    (tmp_path / "a.plan").write_text(plan_file.to_text(plan))
    saved = plan_file.load(tmp_path / "a.plan", view)
    assert (saved.recipe, saved.recipe_digest) == ("my own:rules", plan.recipe_digest)
    assert [d.because.span for d in saved.decisions][:1] == [plan.decisions[0].because.span]
    assert plan_file.to_text(saved) == plan_file.to_text(plan)


def test_explaining_a_rule_made_in_python():
    view, made = graph(CONV), Recipe.from_dict(stem(match={"op": "Gemm"}), name="mine")
    plan = cascade.draft(view, made)
    (unmatched,) = (d for d in plan.diagnostics if d.code == "OQ201")
    assert (str(unmatched.span), "--rules" in unmatched.fix) == ("mine:rules[0]", False)
    (explanation,) = explain(view, made, plan, "stem")
    assert explanation.matched == ()


NAMES = [
    "my own rules",
    "a  b",
    " a ",
    "mine",
    "réseau né",
    "日本 語",
    '"quoted"',
    "a\nb\u2028c",
    "x:1",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_recipes_go_through_a_saved_plan(tmp_path, name):
    view = graph(CONV)
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(CONTENT))
    plan = cascade.plan(view, recipe.load(path))
    assert plan.recipe == name
    (tmp_path / "a.plan").write_text(plan_file.to_text(plan), encoding="utf-8")
    saved = plan_file.load(tmp_path / "a.plan", view)
    assert (saved.recipe, saved.recipe_digest) == (name, plan.recipe_digest)
    assert saved.lines == plan.lines
    assert not saved.edited


def test_a_saved_plan_has_what_may_improve_its_ops(tmp_path):
    view = graph(CONV)
    own = stem(match={"op": "Conv"}, improve=["bias"]) | {"extends": "trt-int8"}
    none = stem(match={"op": "Conv"}, improve=[]) | {"extends": "trt-int8"}
    path = tmp_path / "a.plan"
    for content, expected in ((own, ("bias",)), (none, ())):
        plan = cascade.plan(view, Recipe.from_dict(content, name="mine"))
        path.write_text(plan_file.to_text(plan))
        saved = plan_file.load(path, view)
        assert [(op.node, op.improvers) for op in saved.improvable] == [("conv", expected)]
        assert saved.improving == plan.improving
        assert (saved.digest, saved.edited) == (plan.digest, False)
    path.write_text(path.read_text().replace("improve:", "improve:biass"))
    with pytest.raises(OnnxqError, match=r"OQ212.*there is no improver 'biass'"):
        plan_file.load(path, view)


def test_saved_plans_of_older_versions(tmp_path):
    view = graph(CONV)
    plan = cascade.plan(view, recipe.load("trt-int8"))
    text = plan_file.to_text(plan)
    for name in ("my own rules", "yolo", 'say "x', '"'):
        (tmp_path / "old.plan").write_text(text.replace("# recipe trt-int8 ", f"# recipe {name} "))
        saved = plan_file.load(tmp_path / "old.plan", view)
        assert (saved.recipe, saved.recipe_digest) == (name, plan.recipe_digest)
