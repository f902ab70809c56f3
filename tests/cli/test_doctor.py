"""onnxq doctor: versions, what is missing, folders, and when it exits with 3."""

import sys
import tempfile
from importlib.metadata import version

from tests.command import result, succeeded

from .forked import onnxq


def checks(outcome):
    return {check["name"]: check for check in result(outcome)["checks"]}


def broken_runtime():
    sys.modules["onnxruntime"] = None


def no_temporary_folder():
    tempfile.tempdir = "/proc/nowhere"


def test_versions_and_folders(tmp_path):
    found = checks(succeeded(onnxq("doctor", "--json", cwd=tmp_path)))
    assert found["onnx"]["value"] == version("onnx")
    assert "CPU" in found["execution providers"]["value"]
    assert {found[name]["state"] for name in ("numpy", "temporary folder")} == {"there"}
    assert found["cores"]["value"].isdigit()


def test_a_runtime_that_cannot_be_imported_is_exit_3(tmp_path):
    outcome = onnxq("doctor", cwd=tmp_path, prepare=broken_runtime)
    assert outcome.returncode == 3
    assert "verdict: cannot work without onnxruntime" in outcome.stdout


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    outcome = onnxq("doctor", "--json", cwd=tmp_path, prepare=no_temporary_folder)
    assert outcome.returncode == 3
    folder = checks(outcome)["temporary folder"]
    assert (folder["state"], folder["fix"]) == ("needed", "name another in TMPDIR")
