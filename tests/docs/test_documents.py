"""What the documents say is run, or looked up."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxq
from onnxq.codes import CODES
from onnxq.verification.detections import load_decoder
from tests.cli.conftest import make_picture
from tests.docs.models import MODEL, named_as_exported
from tests.documents import ROOT, blocks, shape_of

ONNXQ = Path(sys.executable).with_name("onnxq")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    subprocess.run([sys.executable, ROOT / "demo" / "prepare.py", folder], check=True)
    return folder


def test_the_readme_shows_what_its_commands_print(demo_folder):
    (shown,) = blocks("README.md", "console")
    steps = [s.split("\n", 1) for s in re.split(r"^\$ onnxq ", shown, flags=re.MULTILINE) if s]
    assert [command.split()[0] for command, _ in steps] == ["calibrate", "insert", "verify"]
    for command, output in steps:
        run = subprocess.run(
            [ONNXQ, *command.split()], cwd=demo_folder, capture_output=True, text=True, check=True
        )
        assert shape_of(run.stdout) == shape_of(output)
    assert re.search(r"Conv +83 +83", run.stdout)
    sqnr = float(re.search(r"^ output +([\d.]+)", run.stdout, re.MULTILINE)[1])
    assert sqnr >= 18  # measured: 18.4, most of it at boxes around nothing


def test_the_makefile_has_the_readme_commands():
    for command in ("demo", "test"):
        assert f"\nmake {command}\n" in (ROOT / "README.md").read_text()
        assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def ran_python_page(tmp_path_factory):
    """A folder in which all code of docs/python.md has run, in one namespace."""
    folder = tmp_path_factory.mktemp("python")
    onnx.save(named_as_exported(MODEL), folder / "model.onnx")
    onnx.save(named_as_exported(MODEL.replace("32, 32", "H, W")), folder / "dynamic.onnx")
    for index, name in enumerate(("imgs", "imgs", "imgs", "others")):
        (folder / name).mkdir(exist_ok=True)
        make_picture(folder / name / f"{index}.png", index)
    (folder / "old.cache").write_text("TRT-100300-EntropyCalibration2\nimages: 3c010a14\n")
    code = "\n".join(blocks("docs/python.md", "python"))
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return folder


def test_the_python_page_runs(ran_python_page):
    for name in ("model.qdq.onnx", "model.calib.npz", "model.plan", "report.html", "repaired.onnx"):
        assert (ran_python_page / name).stat().st_size > 500


def test_the_python_page_has_every_public_name():
    code = "\n".join(blocks("docs/python.md", "python"))
    text = (ROOT / "docs" / "python.md").read_text()
    for name in onnxq.__all__:
        if name.islower():
            assert f"onnxq.{name}(" in code, name
        else:
            assert f"onnxq.{name}" in text, name


def test_the_loader_of_the_guide_runs(demo_folder, tmp_path):
    loader = blocks("docs/guide/data.md", "python")[0]
    (tmp_path / "loader.py").write_text(loader)
    shutil.copytree(demo_folder / "evaluation", tmp_path / "imgs")
    command = [ONNXQ, "calibrate", demo_folder / "yolox.onnx", "--data", "loader.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "5 samples" in run.stdout


def test_the_detections_of_the_guide_are_a_decoder(tmp_path):
    file = tmp_path / "decoder.py"
    file.write_text(blocks("docs/guide/detectors.md", "python")[0])
    boxes, scores = np.zeros((2, 9, 4)), np.full((2, 9, 3), 0.5)
    found = load_decoder(file)({"boxes": boxes, "scores": scores}, {})
    assert [item.boxes.shape for item in found] == [(9, 4), (9, 4)]


def test_the_recipe_of_the_rules_reference_loads(tmp_path):
    from onnxq.planning import recipe

    text = blocks("docs/rules.md", "yaml")[0]
    (tmp_path / "mine.yaml").write_text(text)
    assert recipe.load(tmp_path / "mine.yaml").rules[-1].id == "first-conv"


def test_the_recipe_of_the_guide_loads(tmp_path):
    from onnxq.planning import recipe

    (text,) = blocks("docs/guide/accuracy.md", "yaml")
    (tmp_path / "mine.yaml").write_text(text)
    assert recipe.load(tmp_path / "mine.yaml").rules[-1].id == "sensitive"


@pytest.mark.parametrize(
    "document", ["README.md", *(f"docs/guide/{p.name}" for p in ROOT.glob("docs/guide/*.md"))]
)
def test_commands_of_the_documents_have_these_options(document):
    from typer.main import get_command

    from onnxq.cli.app import app

    known = get_command(app).commands
    for block in blocks(document, "sh"):
        for line in re.findall(r"^onnxq ([^#\n]+)", block, re.MULTILINE):
            verb, *rest = line.split()
            command = (
                known[verb].commands[rest[0]] if hasattr(known[verb], "commands") else known[verb]
            )
            options = {name for parameter in command.params for name in parameter.opts}
            assert {word for word in rest if word.startswith("-")} <= options, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_headings_that_are_linked_to_are_there(document):
    for target, heading in re.findall(r"\]\(([^)#]*)#([^)]+)\)", document.read_text()):
        if "://" not in target:
            linked = document.parent / target if target else document
            titles = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}
            assert heading in slugs, f"{target}#{heading}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        assert "://" in target or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_codes_that_are_named_exist(document):
    named = set(re.findall(r"\bOQ\d{3}\b", document.read_text()))
    if document.name == "bad-inputs.md":
        named.remove("OQ999")  # a bad input
    assert named <= CODES.keys()


def test_tests_that_the_page_on_security_names_exist():
    text = (ROOT / "docs/security.md").read_text()
    rows = re.findall(r"^\|.*\]\(\.\./(tests/.*?\.py)\)(?: `(\w+)`)? \|$", text, re.MULTILINE)
    assert len(rows) >= 15
    for file, name in rows:
        assert f"def {name}(" in (ROOT / file).read_text() or not name, name


def test_every_code_is_raised_somewhere():
    source = "".join(p.read_text() for p in ROOT.glob("onnxq/**/*.py") if p.parent.name != "codes")
    assert [code for code in CODES if f'"{code}"' not in source] == []


def test_the_schema_of_the_report_is_fresh():
    from onnxq.verification.schema import schema

    written = json.loads((ROOT / "docs" / "verify.schema.json").read_text())
    assert written == schema(), "python -m onnxq.verification.schema > docs/verify.schema.json"


def test_the_wheel_has_the_recipes(tmp_path):
    import zipfile

    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {f"onnxq/{p.relative_to(ROOT)}" for p in ROOT.glob("rules/**/*.yaml")}
    assert shipped
    assert shipped <= names
    assert {"onnxq/py.typed", "onnxq/cost/gpus.yaml"} <= names
