"""Labels from CSV files, and how often a classifier is right."""

import numpy as np
import onnx
import pytest

import onnxq
from onnxq.diagnostics import OnnxqError
from onnxq.feeds.samples import Sample
from onnxq.verification import compare
from onnxq.verification.labels import class_index, class_names, load
from tests.onnx_text import model


def labels(folder, text):
    (folder / "labels.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return load(folder / "labels.csv")


def problem(caught):
    (found,) = caught.value.diagnostics
    return f"{found.code}: {found.message}"


@pytest.mark.parametrize(
    "text",
    [
        "a/1.jpg,7\nb/2.jpg,8\n",
        "file,label\na/1.jpg,7\nb/2.jpg,8\n",
        "\ufefflabel;width;filename\r\n7;3;a\\1.jpg\r\n8;3;b\\2.jpg\r\n",
        "image\tclass_name\tclass_index\na/1.jpg\tcat\t7\nb/2.jpg\tdog\t8\n\n",
        '"a/1.jpg", 7\n"b/2.jpg", 8\n',
    ],
    ids=["plain", "header", "windows", "index beside a name", "quoted"],
)
@pytest.mark.parametrize("sample", ["a/1.jpg", "1.jpg", "/data/eval/a/1.jpg"])
def test_forms_of_files_and_paths(tmp_path, text, sample):
    assert labels(tmp_path, text).of(sample) == "7"


def test_the_class_index_in_file_names_is_not_read_from_them(tmp_path):
    """As the pictures that foolbox ships are named: the file says it, not the name."""
    found = labels(tmp_path, "imagenet_00_243.jpg,243\nimagenet_01_559.jpg,559\n")
    assert found.of("examples/imagenet_01_559.jpg") == "559"
    assert found.of("imagenet_02_438.jpg") is None


def test_folders_do_not_matter_where_names_differ(tmp_path):
    found = labels(tmp_path, "file,label\ncalib/0002.jpg,2\neval/0051.jpg,51\n")
    assert (found.of("/data/moved/0051.jpg"), found.of("eval/0003.jpg")) == ("51", None)


def test_equal_names_in_folders(tmp_path):
    found = labels(tmp_path, "cat/1.jpg,0\ndog/1.jpg,1\n")
    assert (found.of("imgs/cat/1.jpg"), found.of("imgs/dog/1.jpg")) == ("0", "1")
    with pytest.raises(OnnxqError, match=r"several classes for '1\.jpg': 0, 1"):
        found.of("1.jpg")
    assert found.of("bird/1.jpg") is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "it is empty"),
        ("1.jpg\n2.jpg\n", "row 1 has one column"),
        ("a,label,file\n1,2\n", "row 2 has too few columns"),
        (b"\xff\xfe1\x00", "it is not text in UTF-8"),
        pytest.param(" " * (2**26 + 1), "it has more than 67,108,864 characters", id="long"),
    ],
)
def test_files_that_are_no_labels(tmp_path, content, told):
    with pytest.raises(OnnxqError) as caught:
        labels(tmp_path, content)
    assert "OQ651" in problem(caught)
    assert told in problem(caught)


def test_a_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(OnnxqError) as caught:
            load(path)
        assert "OQ651" in problem(caught)


@pytest.mark.parametrize("names", ["{0: 'cat', 1: 'dog'}", "['cat', 'dog']"])
def test_names_of_classes_in_the_model(names):
    proto = model(f'<ir_version: 8, opset_import: ["" : 17], metadata_props: ["names": "{names}"]>'
                  " m (float[1,2] x) => (float[1,2] y) { y = Relu (x) }")  # fmt: skip
    found = class_names(proto)
    assert found == {"cat": 0, "dog": 1}
    assert class_index("dog", 2, found, "f") == 1
    assert class_index("0", 2, found, "f") == 0


@pytest.mark.parametrize("label", ["dog", "2", "-1", "1.5", ""])
def test_classes_that_are_not_there(label):
    with pytest.raises(OnnxqError) as caught:
        class_index(label, 2, {}, "labels.csv")
    assert "OQ652" in problem(caught)


def scores(*rows):
    return [
        Sample(name=f"{i}.npy", tensors={"x": np.array([row], np.float32)}, digest=f"{i:064x}")
        for i, row in enumerate(rows)
    ]


def classifier(offset, classes=7):
    """Scores as they are fed, plus an offset for each class."""
    proto = model(f"c (float[1,{classes}] x) => (float[1,{classes}] y) <float[{classes}] o> "
                  "{ [add] y = Add (x, o) }")  # fmt: skip
    values = np.array([*offset, *[0] * (classes - len(offset))], np.float32)
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(values, "o"))
    return proto


def test_accuracy_by_hand(tmp_path):
    """Class 1 gains one point: 0 stays right, 1 turns wrong, 2 turns right, 3 is out of the top."""
    feed = scores(
        [9, 1, 0, 0, 0, 0, 0], [2, 1.5, 0, 0, 0, 0, 0], [2, 1.5, 0, 0, 0, 0, 0],
        [6, 5, 4, 3, 2, 1, 0], [1, 0, 0, 0, 0, 0, 0],
    )  # fmt: skip
    known = labels(tmp_path, "file,label\n0.npy,0\n1.npy,0\n2.npy,1\n3.npy,5\n")
    found = compare(classifier([]), classifier([0, 1]), feed, labels=known).accuracy
    assert (found.output, found.labelled, found.unlabelled) == ("y", 4, 1)
    assert (found.float_top1, found.top1) == (0.5, 0.5)
    assert (found.float_top5, found.top5) == (0.75, 0.75)
    assert (found.agreement, found.changed, found.lost, found.gained) == (0.5, 2, 1, 1)


@pytest.mark.parametrize(
    ("most", "missed"),
    [
        (25, []),
        (24.9, ["top-1 is 50.00%, 25 points below the 75.00% of the float model, and "
                "--max-top1-drop is 24.9"]),
    ],
)  # fmt: skip
def test_a_limit_of_the_points_that_are_lost(tmp_path, most, missed):
    """Class 1 gains one point, which turns one of four."""
    for name, offset in (("float", []), ("qdq", [0, 1])):
        onnx.save(classifier(offset), tmp_path / f"{name}.onnx")
    rows = [[9, 1, 0], [2, 1.5, 0], [1, 9, 0], [0, 0, 9]]
    data = [np.array([row + [0] * 4], dtype=np.float32) for row in rows]
    labels(tmp_path, "data[0],0\ndata[1],0\ndata[2],1\ndata[3],0\n")
    report = onnxq.verify(
        tmp_path / "float.onnx",
        tmp_path / "qdq.onnx",
        data=[{"x": array} for array in data],
        labels=tmp_path / "labels.csv",
        max_top1_drop=most,
        backend="onnxruntime",
    )
    assert [d.message for d in report.diagnostics if d.code == "OQ604"] == missed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "l.csv", "max_top1_drop": 101}, "not a drop"),
        ({"max_top1_drop": 1}, "without --labels"),
    ],
)
def test_limits_that_make_no_sense(tmp_path, options, message):
    onnx.save(classifier([]), tmp_path / "float.onnx")
    (tmp_path / "l.csv").write_text("data[0],0\n")
    if "labels" in options:
        options = {**options, "labels": tmp_path / "l.csv"}
    data = [np.zeros((1, 7), np.float32)]
    path = tmp_path / "float.onnx"
    with pytest.raises(OnnxqError, match=message) as caught:
        onnxq.verify(path, path, data=data, **options)
    assert caught.value.diagnostics[0].code == "OQ654"


def test_equal_scores_and_nan(tmp_path):
    known = labels(tmp_path, "0.npy,1\n1.npy,0\n")
    feed = scores([3, 3], [np.nan, 1])
    found = compare(classifier([], 2), classifier([], 2), feed, labels=known).accuracy
    assert (found.float_top1, found.float_top5) == (0, None)
    assert (found.agreement, found.changed) == (1, 0)


@pytest.mark.parametrize(
    ("right", "wrong", "codes"),
    [(0, 7, []), (0, 8, ["OQ655"]), (2, 12, ["OQ655"]), (3, 12, [])],
)
def test_labels_by_which_the_float_model_is_no_better_than_chance(tmp_path, right, wrong, codes):
    """Seven classes; of fewer than eight samples nothing is said."""
    rows = [f"{i}.npy,{0 if i < right else 1}" for i in range(right + wrong)]
    known = labels(tmp_path, "\n".join(rows))
    feed = scores(*[[6, 5, 4, 3, 2, 1, 0]] * (right + wrong))
    report = compare(classifier([]), classifier([]), feed, labels=known)
    assert [d.code for d in report.notes] == codes


def test_labels_of_other_samples(tmp_path):
    known = labels(tmp_path, "a.npy,1\n")
    with pytest.raises(OnnxqError) as caught:
        compare(classifier([]), classifier([]), scores([1] * 7), labels=known)
    assert "names none of the 1 samples" not in problem(caught)
    assert "names none of the samples" in problem(caught)


def test_a_model_that_is_no_classifier(tmp_path):
    known = labels(tmp_path, "0.npy,1\n")
    detector = model("d (float[1,7] x) => (float[7] y) <int64[1] s = {7}> { y = Reshape (x, s) }")
    with pytest.raises(OnnxqError) as caught:
        compare(detector, detector, scores([1] * 7), labels=known)
    assert "OQ653" in problem(caught)
