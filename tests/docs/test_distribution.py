"""What the source distribution and the wheel contain."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = {"CHANGELOG.md", "LICENSE", "README.md"}
FROM_HATCHLING = {".gitignore", "PKG-INFO", "pyproject.toml"}


def files(folder):
    """The files of a folder of the repository, without what Python and other tools left there."""
    paths = (p.relative_to(ROOT) for p in (ROOT / folder).rglob("*") if p.is_file())
    return {p.as_posix() for p in paths if "__pycache__" not in p.parts}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with both; hatchling itself builds them, so no package is fetched."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel"]
    subprocess.run([*command, "-d", folder], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder


def test_the_sdist_is_small_and_by_list(folder):
    (path,) = folder.glob("*.tar.gz")
    assert path.stat().st_size < 2_000_000
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names == files("onnxq") | files("rules") | DOCUMENTS | FROM_HATCHLING


def test_the_wheel_has_every_module_and_recipe(folder):
    (path,) = folder.glob("*.whl")
    names = {n for n in zipfile.ZipFile(path).namelist() if ".dist-info/" not in n}
    assert names == files("onnxq") | {f"onnxq/{name}" for name in files("rules")}
