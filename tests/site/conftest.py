"""The documentation site, built once and strictly."""

import subprocess
import sys

import pytest

from tests.documents import ROOT
from tests.html.conftest import browser  # noqa: F401
from tests.once import made_once


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built site; a warning of Sphinx fails every test that asks for it."""

    def make(folder):
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs"]
        build = subprocess.run(
            [*command, "-d", folder / "doctrees", ".", folder / "html"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert build.returncode == 0, build.stderr

    return made_once(tmp_path_factory, "site", make) / "html"
