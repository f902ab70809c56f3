"""What made a model is recorded in it, and nothing about where or by whom."""

import shutil
from importlib.metadata import version

import onnx
import pytest

from onnxq.insertion.provenance import recipe_name
from onnxq.model.metadata import metadata_of
from tests.cli.conftest import MODEL as TEXT
from tests.cli.conftest import RULES, make_picture
from tests.cli.forked import onnxq
from tests.command import succeeded
from tests.onnx_text import model


@pytest.fixture
def folder(tmp_path):
    """A folder whose name must not get into a model."""
    made = tmp_path / "a-secret-place"
    (made / "imgs").mkdir(parents=True)
    onnx.save(model(TEXT), made / "model.onnx")
    (made / "mine.yaml").write_text(RULES)
    make_picture(made / "imgs" / "0.png")
    return made


def made_in(folder, source, rules, out):
    """The bytes of a Q/DQ model, made from another folder than the one that its inputs are in."""
    calibration = folder / f"{out}.calib.npz"
    imgs = source.parent / "imgs"
    succeeded(onnxq("calibrate", source, "--data", imgs, "-o", calibration, cwd=folder))
    arguments = ("--rules", rules, "--calibration", calibration, "-o", f"{out}.onnx")
    succeeded(onnxq("insert", source, *arguments, cwd=folder))
    return (folder / f"{out}.onnx").read_bytes()


def test_the_same_inputs_give_the_same_bytes_wherever_they_lie(folder, tmp_path):
    one = made_in(folder, folder / "model.onnx", "mine.yaml", "one")
    elsewhere = tmp_path / "other" / "deeper"
    shutil.copytree(folder, elsewhere)
    other = made_in(tmp_path, elsewhere / "model.onnx", elsewhere / "mine.yaml", "two")
    assert one == other
    assert b"secret" not in one


def test_what_is_recorded(folder):
    made_in(folder, folder / "model.onnx", folder / "mine.yaml", "one")
    told = metadata_of(onnx.load(folder / "one.onnx"))
    assert told["version"] == version("onnxq")
    name, digest = told["recipe"].split(" ")
    assert name == "mine"
    assert all(len(bytes.fromhex(d)) == 32 for d in (digest, told["plan"], told["statistics"]))


def test_another_recipe_data_or_plan_gives_other_digests(folder):
    first = made_in(folder, folder / "model.onnx", "mine.yaml", "one")
    (folder / "other.yaml").write_text(RULES.replace("Conv}", "Conv, name: first}"))
    made_in(folder, folder / "model.onnx", "other.yaml", "two")
    make_picture(folder / "imgs" / "1.png", seed=1)
    made_in(folder, folder / "model.onnx", "mine.yaml", "three")
    one, two, three = (
        metadata_of(onnx.load(folder / f"{n}.onnx")) for n in ("one", "two", "three")
    )
    assert first
    assert {k for k in one if one[k] != two[k]} == {"recipe", "plan"}
    assert {k for k in one if one[k] != three[k]} == {"statistics"}


def test_verify_tells_what_made_a_model(folder):
    made_in(folder, folder / "model.onnx", "mine.yaml", "one")
    outcome = onnxq("verify", "model.onnx", "one.onnx", "--backend", "onnxruntime", cwd=folder)
    assert f"made by onnxq {version('onnxq')}, recipe mine\n" in succeeded(outcome).stdout


@pytest.mark.parametrize("name", ["my own rules", "a  b", "日本 語"])
def test_the_name_of_a_recipe_may_have_spaces(folder, name):
    (folder / "mine.yaml").rename(folder / f"{name}.yaml")
    made_in(folder, folder / "model.onnx", f"{name}.yaml", "one")
    recorded = metadata_of(onnx.load(folder / "one.onnx"))
    assert recipe_name(recorded) == name
    outcome = onnxq("verify", "model.onnx", "one.onnx", "--backend", "onnxruntime", cwd=folder)
    assert f"made by onnxq {version('onnxq')}, recipe {name}\n" in succeeded(outcome).stdout


def test_names_of_recipes_that_older_versions_recorded():
    digest = "0" * 64
    for name in ("yolo", "my own rules", ""):
        assert recipe_name({"recipe": f"{name} {digest}"}) == name
    assert recipe_name({"recipe": "mine"}) == "mine"
    assert recipe_name({}) == ""
