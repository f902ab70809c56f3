"""Every case of the YAML files here: a model, a recipe, and the plan or the diagnostics expected.

A case names its model and gives its rules in one of three ways: `rules`, a list in which `id` (r1,
r2, ...) and `why` may be left out and the descriptors `act` and `weight` are there; `recipe`, the
text of a whole file, where places matter; or `files`, several of them, of which main.yaml is used.

`plan` has the lines expected. Without it the recipe or its use must fail. `diagnostics` are codes,
with line and column (and the file, when it is not main.yaml) where the text is the case's own.
"""

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from onnxq.diagnostics import OnnxqError, Severity
from onnxq.planning import cascade, recipe
from tests.onnx_text import graph

DESCRIPTORS = {
    "act": {"method": "max"},
    "weight": {"granularity": "per_channel", "calibrator": "max"},
}
KEYS = {"name", "model", "opset", "rules", "recipe", "files", "plan", "diagnostics"}


def cases():
    for file in sorted(Path(__file__).parent.glob("*.yaml")):
        content = yaml.safe_load(file.read_text())
        for case in content["cases"]:
            assert case.keys() <= KEYS, case
            text = content["models"][case["model"]]
            yield pytest.param(case, text, id=f"{file.stem}: {case['name']}")


@cache
def model(text, opset):
    return graph(text, opset=opset)


def written(case, folder):
    """Write the recipe of a case; return whether its places are known to the case."""
    files = dict(case.get("files", ()))
    if "recipe" in case:
        files["main.yaml"] = case["recipe"]
    known = bool(files)
    if not known:
        rules = [
            {"id": f"r{number}", "why": "test", **rule}
            for number, rule in enumerate(case["rules"], start=1)
        ]
        whole = {"schema": 1, "descriptors": DESCRIPTORS, "rules": rules}
        files["main.yaml"] = yaml.safe_dump(whole, sort_keys=False)
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    return known


def told(diagnostic, places):
    """A diagnostic as cases write it: 'OQ103 4:7', or the code alone without places."""
    if not places or diagnostic.span is None:
        return diagnostic.code
    where = str(diagnostic.span).removeprefix("main.yaml:")
    return f"{diagnostic.code} {where}"


def outcome(view):
    """The lines of the plan, None where there is none, and the diagnostics."""
    try:
        plan = cascade.plan(view, recipe.load("main.yaml"))
    except OnnxqError as reason:
        return None, reason.diagnostics
    return [" ".join(line.fields()[:-1]) for line in plan.lines], plan.diagnostics


@pytest.mark.parametrize(("case", "text"), list(cases()))
def test_case(case, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = written(case, tmp_path)
    lines, diagnostics = outcome(model(text, case.get("opset", 17)))
    assert (lines is None) == any(d.severity is Severity.ERROR for d in diagnostics)
    expected = case.get("plan")
    assert lines == (None if expected is None else expected.splitlines())
    assert [told(d, places) for d in diagnostics] == case.get("diagnostics", [])


def test_there_are_many_cases_and_each_has_its_own_name():
    names = [c.id for c in cases()]
    assert len(names) >= 120
    assert len(set(names)) == len(names)


def test_every_predicate_and_code_has_a_case():
    from onnxq.codes import CODES
    from onnxq.planning.selectors import PREDICATES

    text = "".join(p.read_text() for p in Path(__file__).parent.glob("*.yaml"))
    assert [key for key in PREDICATES if f"{key}:" not in text] == []
    elsewhere = {  # of commands: tests/golden
        "OQ212", "OQ214", "OQ215", "OQ216", "OQ217", "OQ225", "OQ226",
        "OQ240", "OQ241",
    }  # fmt: skip
    codes = {code for code in CODES if code.startswith(("OQ1", "OQ2"))} - elsewhere
    assert codes - set(re.findall(r"OQ\d+", text)) == set()
