"""The three metrics of docs/metrics.md, on trained models and pictures with known content."""

import csv
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image, ImageDraw, ImageFont

from onnxq.feeds import DataRequest
from onnxq.feeds.preprocess import load as preprocessing
from onnxq.model.graph import Graph
from onnxq.tuning.metrics.labelled import top1
from onnxq.tuning.metrics.metric import load_metric
from onnxq.user_code import run_file
from tests.conftest import packaged
from tests.onnx_text import model

DOCS = Path(__file__).parents[2] / "docs"
FILES = sorted((DOCS / "metrics").glob("*.py"))
WORDS = ("invoice", "calibrate once", "Exit 73B", "QUICK BROWN FOX", "total 19.90")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, with the files of the metrics and a folder for pictures."""
    for file in FILES:
        shutil.copy(file, tmp_path)
    (tmp_path / "imgs").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def samples(proto, preprocess, **shapes):
    """The pictures as the model's inputs."""
    how = preprocessing(preprocess)
    request = DataRequest(source="imgs/", preprocess=how, shapes=shapes)
    return list(request.open(Graph(proto, digest="d")))


def score(metric, proto, data):
    with load_metric(metric) as loaded:
        return loaded.score(proto, data)


def noisy(proto, share):
    """The model with noise on its weights, so that it is worse."""
    worse = onnx.ModelProto.FromString(proto.SerializeToString())
    rng = np.random.default_rng(0)
    constants = [node.attribute[0].t for node in worse.graph.node if node.op_type == "Constant"]
    for tensor in [*worse.graph.initializer, *constants]:
        if len(tensor.dims) == 4:
            array = onnx.numpy_helper.to_array(tensor)
            noise = rng.normal(size=array.shape).astype(np.float32) * array.std() * share
            tensor.CopyFrom(onnx.numpy_helper.from_array(array + noise, tensor.name))
    return worse


def test_the_page_shows_the_files():
    text = (DOCS / "metrics.md").read_text()
    assert [file.name for file in FILES if f"```python\n{file.read_text()}```" not in text] == []


def test_top1_of_a_classifier(folder, mobilenet, photographs):
    labels = {"chelsea": 285, "coffee": 967, "rocket": 657, "coins": 0}
    rows = []
    for name, label in labels.items():
        shutil.copy(photographs[name], folder / "imgs")
        rows.append((photographs[name].name, label))
    with open("labels.csv", "w") as file:
        csv.writer(file).writerows(rows)
    proto = onnx.load(mobilenet)
    data = samples(proto, "imagenet")
    own = score("top1.py", proto, data)
    assert own in (0.5, 0.75)  # coins are no tench
    assert own == top1("labels.csv").score(proto, data)
    assert score("top1.py", noisy(proto, 1), data) < own


@pytest.fixture
def characters(folder):
    """Pictures with characters, and where these are."""
    rng = np.random.default_rng(0)
    (folder / "labels").mkdir()
    for number in range(4):
        width, height = 500, 400 + 60 * number
        paper = rng.normal(220, 10, (height, width, 3)).clip(0, 255)
        picture, rows = Image.fromarray(paper.astype(np.uint8)), []
        draw = ImageDraw.Draw(picture)
        for column, letter in enumerate(rng.permutation(list("ABEFHKMNRSX"))[: 2 + number]):
            place = 45 + 90 * column, int(rng.integers(60, height - 60))
            font = ImageFont.load_default(int(rng.integers(50, 80)))
            draw.text(place, letter, font=font, fill=(40, 30, 90), anchor="mm")
            left, top, right, bottom = draw.textbbox(place, letter, font, "mm")
            box = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
            rows.append((0, *(np.array(box) / (width, height, width, height))))
        picture.save(folder / "imgs" / f"{number}.png")
        np.savetxt(folder / "labels" / f"{number}.txt", rows)


# The YOLOX, decoded in the graph to the layout of YOLOv8.
DECODED = """
<ir_version: 8, opset_import: ["" : 11]>
decoded (float[1, 3549, 6] rows) => (float[1, 5, 3549] decoded)
<float[1, 3549, 2] cells, float[1, 3549, 1] strides> {
    centre, logarithm, objectness, class = Split <axis = 2, split = [2, 2, 1, 1]> (rows)
    moved = Add (centre, cells)
    place = Mul (moved, strides)
    extent = Exp (logarithm)
    size = Mul (extent, strides)
    score = Mul (objectness, class)
    all = Concat <axis = 2> (place, size, score)
    decoded = Transpose <perm = [0, 2, 1]> (all)
}
"""


def as_yolov8(proto):
    """The same model with decoded outputs."""
    grids = [(x, y, s) for s in (8, 16, 32) for y in range(416 // s) for x in range(416 // s)]
    grid = np.array([grids], np.float32)
    tail = model(DECODED)
    for name, values in (("cells", grid[..., :2]), ("strides", grid[..., 2:])):
        (tensor,) = (t for t in tail.graph.initializer if t.name == name)
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
    tail.ir_version = proto.ir_version
    renamed = onnx.compose.add_prefix(tail, "tail/")
    joined = [(proto.graph.output[0].name, "tail/rows")]
    return onnx.compose.merge_models(proto, renamed, io_map=joined)


def test_map_of_a_yolo(folder, yolox, characters):
    proto = onnx.load(yolox)
    data = samples(proto, "yolox")
    own = score("yolo_map.py", proto, data)
    assert own > 0.8
    assert score("yolo_map.py", noisy(proto, 0.3), data) < own
    text = (folder / "yolo_map.py").read_text()
    (folder / "as_yolov8.py").write_text(text.replace("= yolox, 0", "= yolov8, 0"))
    assert score("as_yolov8.py", as_yolov8(proto), data) == pytest.approx(own, abs=1e-6)


def test_average_precision(folder):
    own = run_file(folder / "yolo_map.py")
    assert own.average_precision([], [], 3) == 0
    assert own.average_precision([0.9, 0.8], [True, True], 2) == 1
    # In the order of scores right, wrong, right: precision 1 up to recall 1/2, then 2/3.
    assert own.average_precision([0.7, 0.9, 0.8], [True, True, False], 2) == pytest.approx(5 / 6)
    # An object that is detected twice counts once.
    box = np.array([[0.0, 0, 10, 10]])
    assert own.matched(np.repeat(box, 2, axis=0), box) == [True, False]
    assert own.matched(box, box[:0]) == [False]
    assert own.matched(box[:0], box) == []


def test_boxes_of_the_middle(folder):
    own = run_file(folder / "yolo_map.py")
    own.ANCHOR = 0.5
    Image.new("RGB", (200, 100)).save("imgs/0.png")
    (folder / "labels").mkdir()
    Path("labels/0.txt").write_text("3 0.5 0.5 1 1\n")
    classes, boxes = own.labelled(Path("imgs/0.png"), (416, 416))
    assert classes.tolist() == [3]
    assert boxes.tolist() == [[0, 104, 416, 312]]


def test_words_of_a_recognizer(folder):
    proto = onnx.load(packaged("rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx"))
    keys = next(p.value for p in proto.metadata_props if p.key == "character")
    (folder / "keys.txt").write_text(keys + "\n", "utf-8")
    rows = []
    for number, word in enumerate(WORDS):
        picture = Image.new("RGB", (320, 48), "white")
        draw = ImageDraw.Draw(picture)
        draw.text((8, 24), word, "black", ImageFont.load_default(34), anchor="lm")
        picture.save(folder / "imgs" / f"{number}.png")
        rows.append((f"{number}.png", word))
    with open("words.csv", "w") as file:
        csv.writer(file).writerows(rows)
    data = samples(proto, "ppocr", x=(1, 3, 48, 320))
    own = score("ctc_words.py", proto, data)
    assert own >= 0.8
    assert score("ctc_words.py", noisy(proto, 1), data) < own
