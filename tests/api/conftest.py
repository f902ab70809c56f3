"""The working folder of the command's tests, for calls from Python."""

import pytest

from tests.cli.conftest import Workplace
from tests.cli.conftest import finished as finished
from tests.cli.conftest import here as here
from tests.cli.conftest import prepared as prepared


@pytest.fixture
def work(finished, monkeypatch):
    """Work in a folder with model.onnx, imgs/, rules.yaml, and what calibrate and insert wrote."""
    monkeypatch.chdir(finished.folder)
    (finished / "calib.cache").write_text("TRT-100300-EntropyCalibration2\nx: 3c010a14\n")
    return Workplace(finished.folder)
