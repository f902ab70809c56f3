"""What the commands say of models that they cannot use."""

import errno
import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_text import model as from_text

from .conftest import MODEL

DATA = ("--data", "imgs")


def test_missing_model(here):
    told = here.refuses("OQ301", "calibrate", "modle.onnx", *DATA)
    assert "modle.onnx" in told
    assert "no such file" in told


@pytest.mark.parametrize(
    ("typed", "fix"),
    [
        ("modle.onnx", "did you mean 'model.onnx'?"),
        ("modle.qdq.onnx", "did you mean 'model.qdq.onnx'?"),
        ("unlike-any-other.onnx", "give the path of a readable .onnx file"),
    ],
)
def test_missing_model_with_nearly_the_name_of_another(finished, typed, fix):
    assert fix in finished.refuses("OQ301", "lint", typed)


def test_missing_qdq_model_is_not_the_float_model(here):
    assert "'onnxq insert' writes" in here.refuses("OQ301", "lint", "model.qdq.onnx")


def test_folder_as_model(here):
    assert "imgs" in here.refuses("OQ301", "calibrate", "imgs", *DATA)


def test_path_through_a_file(here):
    here.refuses("OQ301", "calibrate", "model.onnx/model.onnx", *DATA)


@pytest.mark.parametrize("name", ["m.onnx", "m.txt", "m.json", "m.onnxtxt", "m.textproto", "m"])
def test_text_file_as_model(here, name):
    (here / name).write_text("This is not a model.\nNor is this.\n")
    assert "not an ONNX model" in here.refuses("OQ302", "calibrate", name, *DATA)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 100, b"PK\x03\x04", b"\xff\xd8\xff" * 9],
    ids=["empty", "zeros", "zip", "jpeg"],
)
def test_other_files_as_model(here, content):
    (here / "m.onnx").write_bytes(content)
    here.refuses("OQ302", "calibrate", "m.onnx", *DATA)


@pytest.mark.parametrize("what", ["nodes", "outputs"])
def test_model_that_computes_nothing(here, what):
    model = from_text(MODEL)
    model.graph.ClearField(what.removesuffix("s"))
    onnx.save(model, here / "m.onnx")
    for command in (("calibrate", "m.onnx", *DATA), ("verify", "m.onnx", "m.onnx")):
        told = here.refuses("OQ302", *command)
        assert f"'m.onnx' computes nothing: its graph has no {what}" in told


def test_damaged_model(here):
    whole = (here / "model.onnx").read_bytes()
    (here / "m.onnx").write_bytes(whole[: len(whole) // 2])
    here.refuses("OQ302", "calibrate", "m.onnx", *DATA)


@pytest.mark.parametrize("command", ["insert", "verify"])
def test_text_file_as_model_of_other_commands(here, command):
    (here / "m.json").write_text("{}")
    other = ["model.onnx"] if command == "verify" else []
    here.refuses("OQ302", command, "m.json", *other)


def test_missing_external_data(here):
    model = from_text(MODEL)
    onnx.save(
        model, here / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    (here / "w.bin").unlink()
    before = here.files()
    outcome = here.run("calibrate", "m.onnx", *DATA)
    assert outcome.returncode == 2, outcome.stderr
    assert "w.bin" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1
    assert here.files() == before


def test_quantized_model(here):
    here.run("insert", "--rules", "rules.yaml", "-o", "q.onnx")
    told = here.refuses("OQ303", "calibrate", "q.onnx", *DATA)
    assert "QuantizeLinear" in told
    here.refuses("OQ303", "insert", "q.onnx", "--rules", "rules.yaml")


def test_model_that_onnxruntime_cannot_load(here):
    model = from_text(MODEL)
    strides = helper.make_attribute("strides", [1, 1, 1])  # three, for two dimensions
    model.graph.node[0].attribute.append(strides)
    onnx.save(model, here / "m.onnx")
    here.refuses("OQ305", "calibrate", "m.onnx", *DATA)


def test_opset_that_cannot_be_raised(here):
    model = from_text(MODEL)
    model.graph.node[1].op_type, model.graph.node[1].domain = "Gelu", "com.microsoft"
    del model.opset_import[:]
    model.opset_import.extend(
        [helper.make_opsetid("", 11), helper.make_opsetid("com.microsoft", 1)]
    )
    model.ir_version = 6
    onnx.save(model, here / "m.onnx")
    (here / "model.calib.npz").unlink()
    assert here.run("calibrate", "m.onnx", *DATA).returncode == 0
    outcome = here.run("insert", "--rules", "rules.yaml")
    if outcome.returncode:  # onnx's converter may learn to keep other domains
        assert outcome.returncode == 2
        assert "error[OQ304]" in outcome.stderr
        assert len(outcome.stderr.splitlines()) == 1


def test_weight_that_is_not_finite(here):
    model = from_text(MODEL)
    values = numpy_helper.to_array(model.graph.initializer[1]).copy()
    values[0, 0, 0, 0] = np.nan
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(values, "v"))
    onnx.save(model, here / "m.onnx")
    (here / "model.calib.npz").unlink()
    assert here.run("calibrate", "m.onnx", *DATA).returncode == 0
    assert "'v'" in here.refuses("OQ417", "insert", "--rules", "rules.yaml")


def dynamic(here):
    model = from_text(MODEL)
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])
    model.graph.input[0].CopyFrom(value)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, here / "d.onnx")


def test_dynamic_model_without_shape(here):
    dynamic(here)
    assert "--shape x:1x3x640x640" in here.refuses("OQ405", "calibrate", "d.onnx", *DATA)


def test_dynamic_model_with_shape(here):
    dynamic(here)
    outcome = here.run("calibrate", "d.onnx", *DATA, "--shape", "x:1x3x32x32")
    assert outcome.returncode == 0, outcome.stderr


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x", "OQ405"),
        ("1x3x16x16", "OQ405"),
        ("x:", "OQ405"),
        ("x:1x3xHxW", "OQ405"),
        ("x:1x3x0x16", "OQ404"),
        ("x:1x3x-1x16", "OQ405"),
        ("xx:1x3x16x16", "OQ403"),
        ("x:1x3x16", "OQ404"),
        ("x:1x4x16x16", "OQ404"),
        ("x:1x3x32x32", "OQ404"),
    ],
)
def test_bad_shape(here, text, code):
    assert text.rpartition(":")[0] in here.refuses(
        code, "calibrate", "model.onnx", *DATA, "--shape", text
    )


def test_bad_shape_of_verify(finished):
    told = finished.refuses(
        "OQ403", "verify", "model.onnx", "model.qdq.onnx", *DATA, "--shape", "images:1x3x16x16"
    )
    assert "images" in told


def test_a_pipe_in_place_of_a_model(here):
    os.mkfifo(here / "pipe.onnx")
    assert "is not a regular file" in here.refuses("OQ301", "plan", "pipe.onnx")


def too_many():
    """In this process no file can be opened for a model."""
    from onnxq.model import io

    def no_more(path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    io.read = no_more


def test_too_few_files_may_be_open(here):
    outcome = here.run("plan", "model.onnx", prepare=too_many)
    assert outcome.returncode == 2
    assert outcome.stderr == (
        "error[OQ801]: too many files are open; raise the limit, as with 'ulimit -n 1024'\n"
    )
