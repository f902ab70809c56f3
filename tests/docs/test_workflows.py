"""The workflows of hosted CI: their steps are scripts and make targets that exist here."""

import re
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
# What a form of an issue may have, of the fields that ours use.
FORM = {
    "type": "object",
    "required": ["name", "description", "body"],
    "properties": {
        "body": {
            "type": "array",
            "items": {
                "required": ["type", "id", "attributes"],
                "properties": {
                    "type": {"enum": ["input", "textarea", "dropdown", "checkboxes"]},
                    "id": {"pattern": "^[a-z-]+$"},
                    "attributes": {"required": ["label"]},
                },
            },
        },
    },
}


def loaded(path):
    return yaml.load(path.read_text("utf-8"), yaml.BaseLoader)  # `on` stays a text


def steps(path):
    return [step for job in loaded(path)["jobs"].values() for step in job["steps"]]


def script(name):
    """A script of the repository that runs as a command."""
    path = ROOT / name
    return path.is_file() and path.stat().st_mode & 0o100 and path.read_text().startswith("#!")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_each_command_is_a_target_or_a_script(path):
    commands = [step["run"].split() for step in steps(path) if "run" in step]
    assert commands
    for command in commands:
        if command[0] == "make":
            assert set(command[1:]) <= TARGETS, command
        else:
            assert script(command[0]), command


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_actions_are_pinned_to_a_commit(path):
    uses = [step["uses"] for step in steps(path) if "uses" in step]
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action
        assert re.search(rf"{action} # v\d+\.\d+\.\d+\n", path.read_text("utf-8")), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_jobs_end_and_have_few_permissions(path):
    workflow = loaded(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert int(job["timeout-minutes"]) <= 90, name
        assert job.get("permissions", {}) in ({}, {"id-token": "write"}), name


def test_the_matrix_begins_with_the_oldest_python():
    (ci,) = (loaded(path) for path in WORKFLOWS if path.stem == "ci")
    pythons = ci["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert PROJECT["requires-python"] == f">={pythons[0]}"
    included = ci["jobs"]["versions"]["strategy"]["matrix"]["include"]
    for row in included:
        assert (ROOT / "constraints" / f"{row['constraints']}.txt").is_file()
        assert row["python"] in pythons


def test_the_oldest_versions_are_the_lower_bounds():
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["rtx"], *extras["html"], *extras["demo"]]
    bounds = dict(re.split(r">=|==", requirement) for requirement in wanted)
    assert constraints("oldest") == bounds


def test_the_newest_versions_name_every_dependency():
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["rtx"], *extras["html"]]
    assert {re.split(r">=|==", requirement)[0] for requirement in wanted} <= set(
        constraints("newest")
    )


def constraints(name):
    lines = (ROOT / "constraints" / f"{name}.txt").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("path", FORMS, ids=lambda p: p.stem)
def test_forms_of_issues(path):
    form = loaded(path)
    jsonschema.validate(form, FORM)
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids))


def test_the_dockerfile_runs_a_script_that_exists():
    commands = re.findall(r"^RUN /src/(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert commands
    assert all(map(script, commands))


def test_a_tag_must_be_that_of_the_version():
    done = subprocess.run([ROOT / ".ci/tag", "v0.0.0"], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"pyproject.toml has version {PROJECT['version']}" in done.stderr


def test_the_citation_has_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]


def test_the_command_has_the_version():
    from importlib.metadata import version

    # Of the installed package: an installation of another source would test something else.
    assert version("onnxq") == PROJECT["version"]
