"""Which samples are used, how they become batches, their types, and random data."""

import threading
import time

import numpy as np
import pytest
from PIL import Image

from onnxq.diagnostics import OnnxqError
from onnxq.feeds import DataRequest
from onnxq.feeds.ahead import ahead
from onnxq.feeds.selection import pick
from tests.onnx_text import graph

ROWS = graph('g (float["N",2] x) => (float y) { y = Relu (x) }')
PICTURE = graph('g (float["N",3,8,8] x) => (float y) { y = Relu (x) }')
MIXED = graph(
    """
    g (float["N",2] a, int64["N",2] b, bool["N",1] c) => (float y) {
        d = Cast <to = 1> (b)
        e = Cast <to = 1> (c)
        f = Add (a, d)
        y = Add (f, e)
    }
    """
)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def opened(source, graph_, **asked):
    return DataRequest(source=source, **asked).open(graph_)


def refused(code, source, graph_, **asked):
    with pytest.raises(OnnxqError) as caught:
        list(opened(source, graph_, **asked))
    (found,) = caught.value.diagnostics
    assert found.code == code
    return found


def test_samples_are_spread_evenly():
    assert list(pick(10, None, None)) == list(range(10))
    assert list(pick(10, 4, None)) == [0, 2, 5, 7]
    assert list(pick(10, 10, None)) == list(pick(10, 12, 3)) == list(range(10))


def test_samples_that_are_drawn_are_the_same_everywhere():
    assert pick(1000, 8, 0) == [40, 186, 225, 402, 583, 723, 906, 993]
    assert pick(1000, 8, 0) != pick(1000, 8, 1)
    assert set(pick(1000, 100, 5)) < set(pick(1000, 200, 5))


@pytest.mark.parametrize("seed", [None, 3])
def test_every_number_is_drawn_once(seed):
    for samples in range(1, 20):
        found = pick(20, samples, seed)
        assert len(set(found)) == samples
        assert list(found) == sorted(found)


def test_rows_are_stacked_across_files():
    for number in range(3):
        np.save(f"{number}.npy", np.full((3, 2), 10.0 * number) + np.arange(3)[:, None])
    feed = opened(".", ROWS, batch=4)
    assert feed.length == 3
    found = [s.tensors["x"][:, 0].tolist() for s in feed]
    assert found == [[0, 1, 2, 10], [11, 12, 20, 21], [22]]
    assert feed.warnings == []


def test_only_the_file_that_is_needed_is_held():
    for number in range(3):
        np.savez(f"{number}.npz", x=np.full((2, 2), float(number)))
    feed = opened(".", ROWS).part(4, 1)
    for number in (0, 1):
        with open(f"{number}.npz", "wb"):
            pass
    assert [s.tensors["x"][0, 0] for s in feed] == [2, 2]


def test_pictures_are_stacked():
    for number in range(5):
        Image.new("RGB", (8, 8)).save(f"{number}.png")
    feed = opened(".", PICTURE, batch=2)
    assert [s.tensors["x"].shape for s in feed] == [(2, 3, 8, 8), (2, 3, 8, 8), (1, 3, 8, 8)]
    feed = opened(".", PICTURE, shapes={"x": (2, 3, 8, 8)})
    assert [s.count for s in feed] == [2, 2]
    assert [d.code for d in feed.warnings] == ["OQ426"]


def test_a_damaged_picture_of_a_full_batch():
    four = graph("g (float[2,3,8,8] x) => (float y) { y = Relu (x) }")
    for number in range(6):
        Image.new("RGB", (8, 8)).save(f"{number}.png")
    with open("3.png", "wb"):
        pass
    feed = opened(".", four)
    assert [s.number for s in feed] == [0, 2]
    assert [d.code for d in feed.warnings] == ["OQ426", "OQ402"]


def test_hidden_files_are_no_data():
    Image.new("RGB", (8, 8)).save("a.png")
    with open("._a.png", "wb"):  # macOS leaves these on other file systems
        pass
    feed = opened(".", PICTURE)
    assert feed.length == len(list(feed)) == 1
    assert feed.warnings == []


def saved(dtype, value=1):
    np.savez("d.npz", a=np.zeros((2, 2)), b=np.full((2, 2), value, dtype), c=np.ones((2, 1), bool))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "uint64"])
def test_whole_numbers_fit_integers(dtype):
    saved(dtype)
    (one, _) = opened("d.npz", MIXED)
    assert [t.dtype for t in one.tensors.values()] == ["float32", "int64", "bool"]
    assert one.tensors["b"].tolist() == [[1, 1]]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "S3", "M8[s]"])
def test_other_numbers_do_not(dtype):
    saved(dtype)
    assert "int64" in refused("OQ404", "d.npz", MIXED).message


@pytest.mark.parametrize(
    ("name", "value"),
    [("b", np.uint64(2**63)), ("c", np.int64(2)), ("c", np.int64(-1)), ("a", np.float64(1e40))],
)
def test_values_out_of_range(name, value):
    arrays = {"a": np.zeros((1, 2)), "b": np.zeros((1, 2), int), "c": np.ones((1, 1), bool)}
    np.savez("d.npz", **{**arrays, name: np.full(arrays[name].shape, value)})
    assert f"'{name}'" in refused("OQ404", "d.npz", MIXED).message


def test_infinite_values_are_told_once():
    np.save("d.npy", np.array([[1, np.inf], [-np.inf, 2]], np.float32))
    feed = opened("d.npy", ROWS)
    assert len(list(feed)) == 2
    assert [d.code for d in feed.warnings] == ["OQ425"]


def test_a_batch_that_the_model_does_not_take():
    np.save("d.npy", np.zeros((4, 2), np.float32))
    two = graph("g (float[2,2] x) => (float y) { y = Relu (x) }")
    refused("OQ420", "d.npy", two, batch=4)
    assert [s.count for s in opened("d.npy", two, batch=2)] == [2, 2]


def test_random_data():
    feed = opened("random", MIXED, samples=5, seed=2)
    first, again = list(feed), list(feed)
    assert len(first) == feed.length == 5
    assert [s.digest for s in first] == [s.digest for s in again]
    assert len({s.digest for s in first}) == 5
    assert [t.dtype for t in first[0].tensors.values()] == ["float32", "int64", "bool"]
    assert [s.digest for s in feed.part(1, 2)] == [first[n].digest for n in (1, 3)]
    assert [d.code for d in feed.warnings] == ["OQ428"]
    assert first[0].digest != next(iter(opened("random", MIXED, samples=5))).digest


def test_random_data_in_batches():
    assert [s.count for s in opened("random", MIXED, samples=5, batch=2)] == [2, 2, 1]


def test_random_data_needs_sizes():
    view = graph('g (float["N","L"] x) => (float y) { y = Relu (x) }')
    refused("OQ405", "random", view)
    assert len(list(opened("random", view, shapes={"x": (1, 7)}))) == 16


def test_a_folder_called_random(tmp_path):
    (tmp_path / "random").mkdir()
    np.save("random/d.npy", np.zeros((4, 2), np.float32))
    assert "./random" in refused("OQ428", "random", ROWS).fix
    assert len(list(opened("./random", ROWS))) == 4


def test_jobs_run_ahead_in_order_and_no_further_than_the_bound():
    begun, lock, second = [], threading.Lock(), threading.Event()

    def job(number):
        with lock:
            begun.append(number)
        if number == 1:
            second.set()
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number

    found = []
    for result in ahead((lambda n=n: job(n) for n in range(20)), threads=3):
        time.sleep(0.01)
        assert max(begun) <= result + 4
        found.append(result)
        if result == 0:
            assert second.wait(600)  # the limit is against a hang alone
    assert found == list(range(20))


def test_jobs_that_fail_are_raised_in_their_turn():
    def job(number):
        if number in (2, 3):
            raise ValueError(number)
        time.sleep(0.02)
        return number

    found = []

    def consume():
        found.extend(ahead((lambda n=n: job(n) for n in range(9)), threads=4))

    with pytest.raises(ValueError, match="2"):
        consume()
    results = ahead((lambda n=n: job(n) for n in range(9)), threads=4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="2"):
        next(results)
