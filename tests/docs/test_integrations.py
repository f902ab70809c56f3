"""The sections of docs/guide/integrations.md, each with the real tool."""

import re
import subprocess
import sysconfig
import venv
from importlib.metadata import version
from pathlib import Path

import onnx
import onnxruntime
import pytest

import onnxq
from tests.cli.conftest import make_picture
from tests.docs.models import MODEL, named_as_exported
from tests.docs.pages import run_line, run_page
from tests.documents import ROOT

PAGE = "docs/guide/integrations.md"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with the files that the page names."""
    monkeypatch.chdir(tmp_path)
    onnx.save(named_as_exported(MODEL), "model.onnx")
    Path("imgs").mkdir()
    for number in range(6):
        make_picture(Path("imgs", f"{number}.png"), number)
    statistics = onnxq.calibrate("model.onnx", "imgs/", preprocess="yolo", output="model.calib.npz")
    onnxq.insert("model.onnx", "yolo", statistics, output="model.qdq.onnx")
    return tmp_path


def test_polygraphy_and_onnxq_read_each_others_data(folder):
    outcomes = run_page(PAGE, folder, section="Polygraphy")
    assert [line.split()[0] for line, _ in outcomes] == ["polygraphy", "onnxq", "onnxq"]
    by_loader = onnxq.Statistics.load("again.calib.npz")
    assert by_loader.digest == onnxq.calibrate("model.onnx", "inputs").digest
    by_pictures = onnxq.Statistics.load("model.calib.npz")
    assert {name: by_loader[name].to_dict() for name in by_loader} == {
        name: by_pictures[name].to_dict() for name in by_pictures
    }


def test_without_tensorrt_the_script_says_what_onnxruntime_uses(folder):
    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("TensorRT is there")
    run_page(PAGE, folder, section="TensorRT in onnxruntime")
    outcome = run_line("python run_tensorrt.py", folder)
    assert outcome.stdout == "TensorRT is not used: onnxruntime has CPUExecutionProvider\n"


def test_the_plugin_is_used_through_names_that_onnxruntime_has(folder):
    run_page(PAGE, folder, section="TensorRT in onnxruntime")
    text = Path("run_tensorrt_rtx.py").read_text()
    called = set(re.findall(r"\b(?:onnxruntime|options)\.(\w+)\(", text))
    assert len(called) == 5
    for name in called:
        assert hasattr(onnxruntime, name) or hasattr(onnxruntime.SessionOptions, name), name


@pytest.mark.parametrize("disabled", ["0", "1"])
def test_what_onnxruntime_hands_on(folder, disabled):
    """Its optimizations before a provider gets the graph; the option drops the integer weights."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.disable_quant_qdq", disabled)
    options.optimized_model_filepath = "handed.onnx"
    onnxruntime.InferenceSession("model.qdq.onnx", options, providers=["CPUExecutionProvider"])
    pairs = {name: dequantized(onnx.load(name)) for name in ("model.qdq.onnx", "handed.onnx")}
    weights = {"w_quantized", "v_quantized"}
    assert weights < pairs["model.qdq.onnx"]
    kept = pairs["model.qdq.onnx"] - (weights if disabled == "1" else set())
    assert pairs["handed.onnx"] == kept


def dequantized(model):
    """What the DequantizeLinear nodes read."""
    return {node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A function that installs packages beside those of the tests, and returns the interpreter."""

    def install(*packages):
        home = tmp_path_factory.mktemp("environment")
        venv.create(home, with_pip=True)
        python = str(home / "bin/python")
        where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        own = Path(subprocess.check_output(where, text=True).strip())
        (own / "tests.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
        pip = [python, "-m", "pip", "install", "--quiet", f"torch=={version('torch')}", *packages]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"{packages} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
        return python

    return install


@pytest.mark.long
def test_an_export_of_ultralytics(folder, installed, monkeypatch):
    """With random weights: the trained ones would be downloaded."""
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(folder))
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.setenv("YOLO_AUTOINSTALL", "false")
    python = installed("ultralytics", "onnxslim")
    run_page(PAGE, folder, section="Ultralytics")
    script = Path("export_int8.py")
    text = script.read_text().replace("yolo11n.pt", "yolo11n.yaml").replace("640", "64")
    script.write_text(text)
    outcome = run_line("python export_int8.py", folder, python)
    assert "weighted ops quantized" in outcome.stdout
    pairs = dequantized(onnx.load("yolo11n.qdq.onnx"))
    assert len(pairs) > 100


@pytest.mark.long
def test_a_workflow_of_olive(folder, installed, monkeypatch):
    monkeypatch.setenv("OLIVE_DISABLE_TELEMETRY", "1")
    python = installed("olive-ai")
    ((line, _),) = run_page(PAGE, folder, section="Olive", python=python)
    assert line.startswith("python -m olive run")
    (model,) = Path("quantized").rglob("*.onnx")
    assert dequantized(onnx.load(model)) == dequantized(onnx.load("model.qdq.onnx"))
