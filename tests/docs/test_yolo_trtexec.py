"""docs/tutorials/yolo-trtexec.md: the page runs, and its plugin reads what the detector gives."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from onnxq.user_code import run_file
from tests.compiled.yolo_like import yolo
from tests.conftest import packaged
from tests.docs.pages import run_line, run_page
from tests.documents import ROOT, blocks
from tests.e2e.rendered_characters import characters

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import detection_data

PAGE = "docs/tutorials/yolo-trtexec.md"


def with_inputs_of_the_plugin(path):
    """The model up to the plugin, with boxes and scores as outputs."""
    model = onnx.load(path)
    plugin = model.graph.node.pop()
    assert plugin.op_type == "EfficientNMS_TRT"
    del model.graph.output[:]
    kinds = ((name, onnx.TensorProto.FLOAT, None) for name in plugin.input)
    model.graph.output.extend(onnx.helper.make_tensor_value_info(*kind) for kind in kinds)
    return model.SerializeToString()


def outputs(model, sample):
    session = onnxruntime.InferenceSession(model)
    return session.run(None, {session.get_inputs()[0].name: sample})


@pytest.fixture
def scripts(tmp_path):
    (script,) = blocks(PAGE, "python")
    (tmp_path / "nms.py").write_text(script)
    return tmp_path


def test_a_yolox_is_decoded_as_its_metric_does(scripts, yolox):
    shutil.copy(yolox, scripts / "yolox.onnx")
    run_line("python nms.py yolox.onnx yolox.nms.onnx yolox", scripts)
    sample = np.asarray(characters(0), np.float32)[None, :, :, ::-1].transpose(0, 3, 1, 2)
    boxes, scores = outputs(with_inputs_of_the_plugin(scripts / "yolox.nms.onnx"), sample)
    (rows,) = outputs(yolox.read_bytes(), sample)
    metric = run_file(ROOT / "docs/metrics/yolo_map.py")
    expected = metric.yolox(rows[0].astype(float), sample.shape[2:])
    assert scores.max() > 0.5
    np.testing.assert_allclose(boxes[0], expected[0], atol=1e-3)
    np.testing.assert_allclose(scores[0], expected[1], atol=1e-6)


def test_the_output_of_a_yolov8_is_cut(scripts):
    onnx.save(yolo("v8"), scripts / "yolo.onnx")
    run_line("python nms.py yolo.onnx yolo.nms.onnx yolov8", scripts)
    sample = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    boxes, scores = outputs(with_inputs_of_the_plugin(scripts / "yolo.nms.onnx"), sample)
    (output,) = outputs((scripts / "yolo.onnx").read_bytes(), sample)
    np.testing.assert_array_equal(np.concatenate([boxes, scores], 2), output.transpose(0, 2, 1))


def pairs(path):
    """The Q/DQ nodes of a model without their names, and the constants that they read."""
    graph = onnx.load(path).graph
    constants = {c.name: onnx.numpy_helper.to_array(c).tobytes() for c in graph.initializer}
    return [
        (node.op_type, *(constants.get(name, name) for name in node.input))
        for node in graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    ]


def prepare(folder):
    """The model, and pictures with characters."""
    shutil.copy(packaged("ddddocr", "common_det.onnx"), folder / "yolox.onnx")
    sets = (("imgs", 32, 1, "calibration"), ("others", 24, 3, "evaluation"))
    for name, count, seed, role in sets:
        (folder / name).mkdir()
        samples = detection_data.characters(count, seed, role, (detection_data.PILLOW,))
        for number, planes in enumerate(samples.astype(np.uint8)):
            picture = Image.fromarray(planes[::-1].transpose(1, 2, 0))
            picture.save(folder / name / f"{number:02}.png")


@pytest.mark.long
def test_the_page_runs_and_the_order_does_not_matter(tmp_path):
    prepare(tmp_path)
    before, after = (
        [float(share) / 100 for share in re.findall(r"kept ([\d.]+)%, new ([\d.]+)%", text)[0]]
        for text in (o.stdout for _, o in run_page(PAGE, tmp_path))
        if "detections: " in text
    )
    assert min(before[0], after[0]) >= 0.95
    assert after[1] <= min(before[1], 0.05)
    assert len(pairs(tmp_path / "yolox.qdq.onnx")) > 200
    assert pairs(tmp_path / "float.nms.qdq.onnx") == pairs(tmp_path / "yolox.qdq.onnx")
