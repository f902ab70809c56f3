"""docs/tutorials/ci-gate.md: the page runs, and so do the lines of its two CI files."""

import re

import onnx
import pytest
import yaml

from tests.cli.conftest import make_picture
from tests.docs.models import MODEL, named_as_exported
from tests.docs.pages import run_line, run_page
from tests.docs.test_workflows import PROJECT
from tests.documents import ROOT, blocks

PAGE = "docs/tutorials/ci-gate.md"
CI = ROOT / "docs/tutorials/ci"


def github():
    (job,) = yaml.safe_load((CI / "github.yml").read_text())["jobs"].values()
    return [step["run"] for step in job["steps"] if "run" in step]


def gitlab():
    (job,) = yaml.safe_load((CI / "gitlab.yml").read_text()).values()
    return [*job["before_script"], *job["script"]]


@pytest.fixture
def repository(tmp_path):
    onnx.save(named_as_exported(MODEL), tmp_path / "model.onnx")
    for name, numbers in (("imgs", range(6)), ("others", range(6, 9))):
        (tmp_path / name).mkdir()
        for number in numbers:
            make_picture(tmp_path / name / f"{number}.png", number)
    return tmp_path


def test_the_page_runs_and_its_gate_says_why(repository):
    outcomes = run_page(PAGE, repository)
    refused = [outcome.stderr for _, outcome in outcomes if outcome.returncode == 1]
    assert [re.findall(r"^error\[(OQ\d+)\]", text, re.MULTILINE) for text in refused] == [
        ["OQ215"],
        ["OQ604"],
    ]


@pytest.mark.parametrize("lines", [github, gitlab])
def test_the_lines_of_a_ci_file_pass_and_then_refuse_a_changed_rule(lines, repository):
    install, check, quantize = lines()
    extra = re.fullmatch(r"pip install 'onnxq\[(\w+)\]'", install)
    assert extra
    assert extra[1] in PROJECT["optional-dependencies"]
    before, changed = blocks(PAGE, "yaml")
    (repository / "mine.yaml").write_text(before)
    run_line("onnxq plan model.onnx --rules mine.yaml -o model.plan", repository)
    for line in (check, quantize):
        run_line(line, repository)
    (repository / "mine.yaml").write_text(changed)
    for line in (check, quantize):
        run_line(f"{line} # exit code 1", repository)
