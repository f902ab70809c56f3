"""`onnxq lint` on the command line: repairs into a new file, exit codes, long lists."""

import onnx
import pytest

from tests.command import result, succeeded
from tests.linting.examples import examples, model_of
from tests.verification.models import Builder

BY_NAME = {(e["code"], e["name"]): e for e in examples()}


def placed(here, code, name, file="odd.onnx"):
    onnx.save(model_of(BY_NAME[code, name]), here / file)


def test_what_insert_writes_is_clean(finished):
    told = succeeded(finished.run("lint", "model.qdq.onnx")).stdout
    assert told == ("model.qdq.onnx: 0 errors, 0 warnings\nexpected: 2 weighted ops, 2 int8\n")


@pytest.mark.parametrize(
    ("place", "plain", "strict"),
    [
        (("OQ616", "a float bias"), 0, 0),
        (("OQ638", "ConvTranspose"), 0, 0),
        (("OQ629", "two equal pairs"), 0, 1),
        (("OQ616", "an int32 bias"), 1, 1),
    ],
)
def test_exit_codes(here, place, plain, strict):
    placed(here, *place)
    assert here.run("lint", "odd.onnx").returncode == plain
    assert here.run("lint", "odd.onnx", "--strict").returncode == strict
    assert here.run("lint", "odd.onnx", "--quiet", "--json").returncode == plain


def test_repairs_go_into_a_new_file(here):
    placed(here, "OQ616", "an int32 bias")
    before = (here / "odd.onnx").read_bytes()
    told = succeeded(here.run("lint", "odd.onnx", "--fix", "-o", "new.onnx")).stdout
    assert "repaired[OQ616]: 1 repair, same values\n  'b' is stored in float\n" in told
    assert (here / "odd.onnx").read_bytes() == before
    succeeded(here.run("lint", "new.onnx", "--strict"))


def test_what_cannot_be_repaired_is_left_and_told(here):
    placed(here, "OQ625", "in front of a Clip only")
    outcome = here.run("lint", "odd.onnx", "--fix", "-o", "new.onnx")
    assert outcome.returncode == 1
    for told in ("nothing to repair", "error[OQ625]: ", "the remaining findings need"):
        assert told in outcome.stdout
    assert (here / "new.onnx").exists()


def test_an_output_that_cannot_be_written(here):
    placed(here, "OQ616", "an int32 bias")
    here.refuses("OQ501", "lint", "odd.onnx", "--fix", "-o", "no/such/folder.onnx")
    here.refuses("OQ502", "lint", "odd.onnx", "--fix", "-o", "odd.onnx")


def test_json(here):
    placed(here, "OQ613", "MatMul on axis 0")
    told = result(here.run("lint", "odd.onnx", "--json"))
    (found,) = told["findings"]
    assert (found["code"], found["node"], found["effect"]) == ("OQ613", "mm", "float")
    assert told["builds"] is True
    assert told["expected"][0]["precision"] == "float"
    told = result(here.run("lint", "odd.onnx", "--fix", "-o", "new.onnx", "--json"))
    assert told["findings"] == []
    assert [(r["code"], r["exact"]) for r in told["repairs"]] == [("OQ613", False)]


def test_many_findings_of_a_kind_are_counted(here):
    build = Builder()
    data = "x"
    for index in range(300):
        data = build.conv(data, 4, 4, name=f"conv{index}", weights=False)
    onnx.save(build.model(data), here / "many.onnx")
    lines = here.run("lint", "many.onnx").stdout.splitlines()
    assert lines[0].startswith("error[OQ617]: 300 findings; ")
    assert lines[4] == "  ... 297 more; --all shows them"
    assert len(lines) == 7
    assert len(here.run("lint", "many.onnx", "--all").stdout.splitlines()) == 303
