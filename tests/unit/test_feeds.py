import numpy as np
import pytest
from PIL import Image

from onnxq.diagnostics import OnnxqError
from onnxq.feeds import open_feed
from onnxq.graph import Graph
from onnxq.preprocess import Preprocess
from tests.onnx_text import graph, model

FIXED = graph("g (float[2,3] x) => (float y) { y = Relu (x) }")
DYNAMIC = graph('g (float["N",3] x) => (float y) { y = Relu (x) }')
TWO = graph(
    """
    g (float[1,3] a, int64[1,2] b) => (float y) {
        c = Cast <to = 1> (b)
        y = Concat <axis = 1> (a, c)
    }
    """
)
IMAGE = graph("g (float[1,3,8,8] x) => (float y) { y = Relu (x) }")


def refused(code, *arguments, **options):
    with pytest.raises(OnnxqError) as caught:
        list(open_feed(*arguments, **options))
    assert [d.code for d in caught.value.diagnostics] == [code]
    return str(caught.value)


def fed(source, graph_, **options):
    """The arrays of input x of every sample."""
    return [sample.tensors["x"] for sample in open_feed(source, graph_, **options)]


def test_an_array_is_cut_into_batches_of_the_models_size(tmp_path):
    values = np.arange(18, dtype=np.float32).reshape(6, 3)
    np.save(tmp_path / "x.npy", values)
    found = fed(tmp_path / "x.npy", FIXED)
    assert [a.shape for a in found] == [(2, 3)] * 3
    np.testing.assert_array_equal(np.concatenate(found), values)


def test_an_array_that_is_no_whole_number_of_batches(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 3), np.float32))
    refused("OQ404", tmp_path / "x.npy", FIXED)


def test_a_symbolic_batch_is_one(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 3), np.float32))
    assert [a.shape for a in fed(tmp_path / "x.npy", DYNAMIC)] == [(1, 3)] * 5
    found = fed(tmp_path / "x.npy", DYNAMIC, shapes={"x": (5, 3)})
    assert [a.shape for a in found] == [(5, 3)]


def test_several_inputs_go_together(tmp_path):
    rows = np.arange(4, dtype=np.int64)[:, None]
    np.savez(
        tmp_path / "d.npz", a=np.repeat(rows, 3, 1).astype(np.float32), b=np.repeat(rows, 2, 1)
    )
    samples = list(open_feed(tmp_path / "d.npz", TWO))
    assert [(s.tensors["a"][0, 0], s.tensors["b"][0, 0]) for s in samples] == [
        (0, 0), (1, 1), (2, 2), (3, 3)
    ]  # fmt: skip
    assert len({s.digest for s in samples}) == 4


def test_different_numbers_of_samples(tmp_path):
    np.savez(tmp_path / "d.npz", a=np.zeros((2, 3), np.float32), b=np.zeros((3, 2), np.int64))
    refused("OQ404", tmp_path / "d.npz", TWO)


def test_npy_for_a_model_with_two_inputs(tmp_path):
    np.save(tmp_path / "d.npy", np.zeros((1, 3), np.float32))
    assert "'d.npy'" in refused("OQ403", tmp_path / "d.npy", TWO)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64, np.uint8])
def test_numbers_are_converted(tmp_path, dtype):
    np.save(tmp_path / "x.npy", np.ones((2, 3), dtype))
    (found,) = fed(tmp_path / "x.npy", FIXED)
    assert found.dtype == np.float32


def test_files_come_in_the_order_of_their_names_and_from_folders_within(tmp_path):
    (tmp_path / "b").mkdir()
    for index, name in enumerate(["b/2.npy", "a.npy", "c.NPY"]):
        with (tmp_path / name).open("wb") as file:
            np.save(file, np.full((2, 3), index, np.float32))
    (tmp_path / "notes.txt").write_text("x")
    feed = open_feed(tmp_path, FIXED)
    for _ in range(2):  # every iteration gives the same
        assert [s.tensors["x"][0, 0] for s in feed] == [1, 0, 2]


def test_the_digest_is_of_the_content(tmp_path):
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, np.ones((2, 3), np.float32))
    one, other = open_feed(tmp_path, FIXED)
    assert one.digest == other.digest
    assert one.name != other.name


def test_the_digest_of_a_picture_covers_its_preprocessing(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "p.png")
    digests = {
        next(iter(open_feed(tmp_path, IMAGE, how=how))).digest
        for how in (Preprocess(), Preprocess(color="BGR"), Preprocess(pad=3))
    }
    assert len(digests) == 3


def test_pictures_are_left_out_afresh_in_every_iteration(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no")
    feed = open_feed(tmp_path, IMAGE)
    for _ in range(2):
        assert len(list(feed)) == 1
        assert [d.code for d in feed.skipped] == ["OQ402"]


def test_shapes_are_checked_against_what_the_file_declares():
    text = 'g (float["N",3,"H",8] x) => (float y) { y = Relu (x) }'
    view = Graph(model(text), shapes={"x": (1, 4, 8, 8)})
    with pytest.raises(OnnxqError) as caught:
        open_feed("nowhere", view, shapes={"x": (1, 4, 8, 8)})
    assert caught.value.diagnostics[0].code == "OQ404"


def test_batches_of_pictures_are_not_made(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    four = graph("g (float[4,3,8,8] x) => (float y) { y = Relu (x) }")
    assert "batches of 4" in refused("OQ405", tmp_path, four)
