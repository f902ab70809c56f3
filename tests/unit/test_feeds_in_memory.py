"""Data that a Python program holds: arrays, lists, iterables, generators, functions."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from onnxq.calibration.calibrate import Settings, calibrate
from onnxq.diagnostics import OnnxqError
from onnxq.feeds import DataRequest
from onnxq.feeds.places import locate
from onnxq.model.graph import Graph
from tests.onnx_text import graph, model

ONE = graph("g (float[1,3] x) => (float y) { y = Relu (x) }")
DYNAMIC = graph('g (float["N",3] x) => (float y) { y = Relu (x) }')
TOKENS = graph('g (float[1,"T"] x) => (float y) { y = Relu (x) }')
TWO = graph(
    """
    g (float["N",3] a, int32["N",2] b) => (float y) {
        c = Cast <to = 1> (b)
        y = Concat <axis = 1> (a, c)
    }
    """
)


def opened(source, graph_=ONE, **asked):
    return DataRequest(source=source, **asked).open(graph_)


def first_values(feed, name="x"):
    return [float(sample.tensors[name].flat[0]) for sample in feed]


def refused(code, source, graph_=ONE, **asked):
    with pytest.raises(OnnxqError) as caught:
        list(opened(source, graph_, **asked))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    return diagnostic


def row(value, length=3):
    return np.full((1, length), value, np.float32)


def rows(count):
    return np.repeat(np.arange(count, dtype=np.float32), 3).reshape(count, 3)


@pytest.mark.parametrize("graph_", [ONE, DYNAMIC], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy, lambda a: {"x": a}])
def test_an_array_is_what_its_file_would_be(tmp_path, make, graph_):
    np.save(tmp_path / "d.npy", rows(5))
    for asked in ({}, {"samples": 3}, {"samples": 3, "seed": 1}, {"batch": 1}):
        ours = list(opened(make(rows(5)), graph_, **asked))
        theirs = list(opened(str(tmp_path / "d.npy"), graph_, **asked))
        assert [s.digest for s in ours] == [s.digest for s in theirs]
        assert ours[1].name == theirs[1].name.replace(str(tmp_path / "d.npy"), "data")
    assert opened(make(rows(5)), graph_).length == 5
    assert first_values(opened(make(rows(5)), graph_).part(1, 2)) == [1, 3]


def test_tensors_with_a_gradient_and_of_another_type():
    tensor = torch.arange(6, dtype=torch.float16).reshape(2, 3).requires_grad_()
    samples = list(opened(tensor))
    assert [s.tensors["x"].dtype for s in samples] == [np.float32] * 2
    assert first_values(samples) == [0, 3]


def test_a_mapping_of_arrays():
    data = {"b": np.arange(8).reshape(4, 2), "a": torch.from_numpy(rows(4))}
    feed = opened(data, TWO)
    assert feed.length == 4
    assert first_values(feed, "a") == [0, 1, 2, 3]
    assert first_values(feed, "b") == [0, 2, 4, 6]
    assert [s.name for s in feed] == [f"data[{i}]" for i in range(4)]


def test_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("random", rows(2))
    Path("random.npy").rename("random.npy")
    assert first_values(opened(Path("random.npy"))) == [0, 1]
    Path("random").mkdir()
    np.save("random/d.npy", rows(3))
    assert first_values(opened(Path("random"))) == [0, 1, 2]  # a path is never random data
    Path("loader.py").write_text("import numpy as np\ndef f():\n    yield np.ones((1, 3))\n")
    request = DataRequest(source=Path("loader.py:f"))
    assert request.path == Path("loader.py")
    assert first_values(request.open(ONE)) == [1]
    assert request.absolute().source == f"{tmp_path / 'loader.py'}:f"


ITEMS = [
    [{"x": row(i)} for i in range(4)],
    [(row(i),) for i in range(4)],
    tuple([row(i)] for i in range(4)),
    [torch.full((1, 3), float(i)) for i in range(4)],
    [rows(1), rows(4)[1:3], row(3)],
]


@pytest.mark.parametrize("items", ITEMS, ids=["dicts", "tuples", "lists", "tensors", "batches"])
@pytest.mark.parametrize(
    "make",
    [list, iter, lambda items: lambda: items, lambda items: lambda: (i for i in items)],
    ids=["list", "iterator", "function", "generator function"],
)
def test_samples(make, items):
    feed = opened(make(items))
    assert first_values(feed) == [0, 1, 2, 3]
    assert feed.warnings == []
    if make is not iter:
        assert first_values(feed) == [0, 1, 2, 3]


def test_a_list_is_chosen_from_and_an_iterable_is_read_from_its_beginning():
    items = [row(i) for i in range(10)]
    assert opened(items).length == 10
    assert first_values(opened(items, samples=4)) == [0, 2, 5, 7]
    assert first_values(opened(items, samples=4, seed=1)) == first_values(
        opened(rows(10), samples=4, seed=1)
    )
    assert first_values(opened(lambda: items, samples=4)) == [0, 1, 2, 3]
    assert [s.count for s in opened(items, DYNAMIC, batch=4)] == [4, 4, 2]
    assert "--seed" in refused("OQ420", lambda: items, samples=4, seed=1).fix


def test_items_are_called_by_their_number():
    assert [s.name for s in opened([rows(2), row(5)])] == ["data[0][0]", "data[0][1]", "data[1]"]
    assert [s.name for s in opened(iter([rows(2), row(5)]))] == [
        "data[0][0]", "data[0][1]", "data[1]"
    ]  # fmt: skip


def test_a_buffer_that_is_filled_again_and_again():
    def samples():
        buffer = np.empty((1, 3), np.float32)
        for value in range(6):
            buffer[:] = value
            yield buffer

    assert first_values(opened(samples())) == [0, 1, 2, 3, 4, 5]
    batches = [s.tensors["x"][:, 0].tolist() for s in opened(samples, DYNAMIC, batch=3)]
    assert batches == [[0, 1, 2], [3, 4, 5]]


class Numbers(Dataset):
    def __init__(self, fails=-1, labels=False):
        self.fails, self.labels = fails, labels

    def __len__(self):
        return 5

    def __getitem__(self, i):
        if i == self.fails:
            raise KeyError("no such picture")
        if i >= len(self):
            raise IndexError(i)
        return (torch.full((3,), float(i)), i) if self.labels else torch.full((3,), float(i))


class Endless(IterableDataset):
    def __iter__(self):
        value = 0
        while True:
            yield torch.full((3,), float(value))
            value += 1


@pytest.mark.parametrize(
    "options",
    [{}, {"num_workers": 2}, {"num_workers": 1, "persistent_workers": True}],
    ids=["alone", "workers", "persistent"],
)
def test_a_dataloader_of_torch(options):
    loader = DataLoader(Numbers(), batch_size=2, **options)
    feed = opened(loader)
    for _ in range(2):
        assert first_values(feed) == [0, 1, 2, 3, 4]
    assert feed.length is None  # a batch is several samples here
    whole = opened(loader, DYNAMIC)
    assert whole.length == 3
    assert [s.tensors["x"].shape for s in whole] == [(2, 3), (2, 3), (1, 3)]
    assert opened(loader, DYNAMIC, samples=2).length == 2
    assert opened(loader, DYNAMIC).part(1, 2).length == 1


def test_an_endless_dataloader():
    loader = DataLoader(Endless(), batch_size=2)
    feed = opened(loader, DYNAMIC, samples=3)
    assert feed.length == 3
    assert first_values(feed) == [0, 2, 4]
    assert opened(loader, DYNAMIC).length is None


def test_a_dataset_of_torch_is_gone_through():
    data = Numbers()
    assert first_values(opened(data, graph("g (float[3] x) => (float y) { y = Relu (x) }"))) == [
        0, 1, 2, 3, 4
    ]  # fmt: skip


def test_labels_are_no_inputs():
    diagnostic = refused("OQ403", DataLoader(Numbers(labels=True), batch_size=2), DYNAMIC)
    assert "'data[0]' has 2 tensors" in diagnostic.message
    assert "without labels" in diagnostic.fix


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_dataset_of_torch(workers):
    loader = DataLoader(Numbers(fails=3), num_workers=workers)
    with pytest.raises(OnnxqError) as caught:
        list(opened(loader))
    assert "KeyError: 'no such picture' at 'data[3]'" in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)


def fails_at(index):
    for value in range(9):
        if value == index:
            raise ValueError("the disk is gone\nfor good")
        yield row(value)


def test_what_an_iterable_raises_is_the_cause():
    with pytest.raises(OnnxqError) as caught:
        list(opened(lambda: fails_at(2)))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "OQ422"
    assert diagnostic.message == "the data raised ValueError: the disk is gone at 'data[2]'"
    trace = caught.value.__cause__.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    assert trace.tb_frame.f_code is fails_at.__code__
    assert "ZeroDivisionError" in refused("OQ422", lambda: 1 / 0).message
    assert "TypeError" in refused("OQ422", lambda: len(5)).message


def test_interrupts_are_not_errors_of_the_data():
    def interrupted():
        yield row(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(opened(interrupted))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (5, "type int"),
        (None, "NoneType"),
        (object(), "type object"),
        (lambda path: [], "required positional argument"),
        (lambda: None, "NoneType"),
    ],
)
def test_what_gives_no_samples(data, said):
    diagnostic = refused("OQ421", data)
    assert said in diagnostic.message
    assert "a list" in diagnostic.fix


@pytest.mark.parametrize(
    "make", [lambda i: iter(i), lambda i: (x for x in i), lambda i: map(row, range(4))]
)
def test_an_iterator_is_read_once(make):
    request = DataRequest(source=make([row(i) for i in range(4)]))
    feed = request.open(ONE)
    assert first_values(feed) == [0, 1, 2, 3]
    for again in (feed, request.open(ONE)):
        with pytest.raises(OnnxqError, match=r"OQ421.*give a list, or a function that makes it"):
            list(again)


def test_an_iterator_of_which_a_part_was_read_is_not_read_again():
    samples = (row(i) for i in range(9))
    request = DataRequest(source=samples, samples=3)
    assert first_values(request.open(ONE)) == [0, 1, 2]
    with pytest.raises(OnnxqError, match="OQ421"):
        list(request.open(ONE))


def test_an_iterator_at_its_end():
    samples = (row(i) for i in range(9))
    list(samples)
    assert "nothing is left in it" in refused("OQ421", samples).message


def test_a_function_that_gives_the_same_iterator_again():
    samples = (row(i) for i in range(9))
    feed = opened(lambda: samples, samples=3)
    assert first_values(feed) == [0, 1, 2]
    with pytest.raises(OnnxqError, match="OQ421"):
        list(feed)


@pytest.mark.parametrize("batch", [None, 4])
def test_a_first_look_does_not_use_up_an_iterator(batch):
    feed = opened((row(i) for i in range(9)), DYNAMIC, batch=batch)
    assert feed.first().tensors["x"][0, 0] == 0
    assert feed.first().tensors["x"][0, 0] == 0
    assert first_values(feed) == ([*range(9)] if batch is None else [0, 4, 8])
    assert feed.findings.read == 9
    with pytest.raises(OnnxqError, match="OQ421"):
        feed.first()


def test_a_first_look_at_nothing():
    assert opened(rows(2)).part(5, 1).first() is None
    with pytest.raises(OnnxqError, match="OQ401"):
        opened(list).first()


NET = """
net (float[N,3,4,4] x) => (float[N,2,4,4] y) <float[2,3,1,1] w> {
    a = Relu (x)
    y = Conv (a, w)
}
"""


def test_calibration_over_an_iterator_with_a_limit_to_memory():
    proto = model(NET)
    view = Graph(proto)
    images = np.random.default_rng(0).standard_normal((5, 1, 3, 4, 4)).astype(np.float32)

    def run(data, **settings):
        feed = DataRequest(source=data).open(view)
        return calibrate(proto, view, feed, tensors=("x", "a"), settings=Settings(**settings))

    known = run(list(images))
    assert known.samples == 5
    assert run(iter(images)).digest == known.digest
    assert run(iter(images), max_memory=1 << 30).digest == known.digest  # one pass
    assert run(lambda: iter(images), max_memory=1).digest == known.digest  # two
    taken = []
    with pytest.raises(OnnxqError, match="OQ421"):
        run((taken.append(image) or image for image in images), max_memory=1)
    assert len(taken) < 5  # refused before the first pass


def test_what_the_data_had_to_say_is_in_the_statistics():
    proto = model(NET)
    view = Graph(proto)
    image = np.zeros((1, 3, 4, 4), np.float32)
    feed = DataRequest(source=lambda: [image], samples=3).open(view)
    statistics = calibrate(proto, view, feed, tensors=("a",))
    assert [d.code for d in statistics.diagnostics] == ["OQ427"]
    assert statistics.model_path is None


@pytest.mark.parametrize("value", ["cat.jpg", None, {"x": "cat.jpg"}, Path("cat.jpg")])
@pytest.mark.parametrize("make", [list, iter])
def test_what_is_no_tensor(make, value):
    assert "'data[1]" in refused("OQ423", make([row(0), value])).message


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("OQ403", {"y": row(0)}),
        ("OQ403", {}),
        ("OQ403", (row(0), row(0))),
        ("OQ404", np.ones(3)),
        ("OQ404", row(0, length=4)),
        ("OQ404", np.full((1, 3), "a")),
        ("OQ404", np.full((1, 3), 1e300)),
        ("OQ423", np.ma.array(row(0), mask=[[True, False, False]])),
        ("OQ425", row(np.nan)),
    ],
)
@pytest.mark.parametrize("make", [list, iter])
def test_samples_that_do_not_fit(make, code, value):
    assert "'data[1]'" in refused(code, make([row(0), value])).message


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("OQ403", rows(2)),
        ("OQ403", {"a": rows(2)}),
        ("OQ403", {"a": rows(2), "b": rows(2), "c": rows(2)}),
        ("OQ404", {"a": rows(2), "b": np.zeros((2, 5), np.int32)}),
        ("OQ404", {"a": rows(2), "b": np.zeros((2, 2), np.float32)}),
        ("OQ404", {"a": np.zeros(()), "b": np.zeros((2, 2), np.int32)}),
        ("OQ401", {"a": rows(0), "b": np.zeros((0, 2), np.int32)}),
        ("OQ404", {"a": [1, 2, 3], "b": np.zeros((2, 2), np.int32)}),
        ("OQ423", {"a": torch.ones(2, 3).to_sparse(), "b": rows(2)}),
    ],
)
def test_arrays_that_do_not_fit(code, data):
    with pytest.raises(OnnxqError) as caught:
        opened(data, TWO)
    assert {d.code for d in caught.value.diagnostics} == {code}
    assert all("data" in d.message for d in caught.value.diagnostics)


@pytest.mark.parametrize("data", [[], (), rows(0), list])
def test_no_sample(data):
    refused("OQ401", data)


@pytest.mark.parametrize("make", [list, iter])
def test_shapes_that_differ_need_permission(make):
    items = [row(0), row(1), row(2, length=4)]
    message = refused("OQ424", make(items), TOKENS).message
    assert "'data[0]'" in message
    assert "'data[2]'" in message
    shapes = [s.tensors["x"].shape for s in opened(make(items), TOKENS, ragged=True)]
    assert shapes == [(1, 3), (1, 3), (1, 4)]


def test_pictures_and_their_preprocessing_are_files():
    from onnxq.feeds.preprocess import Preprocess

    assert "in memory" in refused("OQ406", [row(0)], preprocess=Preprocess()).message


@pytest.mark.parametrize("data", [rows(2), {"x": rows(2)}, [row(0)], lambda: [row(0)]])
def test_other_processes_need_files(data):
    request = DataRequest(source=data)
    assert request.path is None
    for ask in (request.absolute, lambda: locate(request.source)):
        with pytest.raises(OnnxqError, match=r"OQ434.*in memory"):
            ask()


def test_torch_is_not_imported_for_what_is_no_tensor(tmp_path):
    onnx.save(model("g (float[1,3] x) => (float y) { y = Relu (x) }"), tmp_path / "m.onnx")
    code = """
import sys, numpy, onnx
from onnxq.feeds import DataRequest
from onnxq.model.graph import Graph
data = [numpy.ones((1, 3), numpy.float32)] * 3
print(len(list(DataRequest(source=iter(data)).open(Graph(onnx.load("m.onnx"))))))
assert "torch" not in sys.modules and "polygraphy" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


CHW = graph("g (float[3,4,4] x) => (float y) { y = Relu (x) }")
SCALARS = graph(
    "g (float[1,3] x, float t, int64 n) => (float y) { s = Mul (x, t) c = Cast <to = 1> (n) "
    "y = Add (s, c) }"
)


@pytest.mark.parametrize("shape", [(5, 3, 4, 4), (15, 4, 4)], ids=["stacked", "joined"])
def test_samples_of_an_input_without_a_batch_axis(tmp_path, shape):
    values = np.arange(5 * 48, dtype=np.float32).reshape(shape)
    np.save(tmp_path / "d.npy", values)
    np.savez(tmp_path / "d.npz", x=values)
    for source in (values, {"x": values}, str(tmp_path / "d.npy"), str(tmp_path / "d.npz")):
        samples = list(opened(source, CHW))
        assert [s.tensors["x"].shape for s in samples] == [(3, 4, 4)] * 5
        assert first_values(samples) == [0, 48, 96, 144, 192]


def test_stacked_samples_that_have_the_batch_axis_themselves():
    samples = list(opened(np.stack([row(i) for i in range(4)]), ONE))
    assert [s.tensors["x"].shape for s in samples] == [(1, 3)] * 4
    assert first_values(samples) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "data",
    [
        {"x": rows(3), "t": np.float32([0.5, 1, 2]), "n": np.arange(3)},
        [{"x": row(0), "t": 0.5, "n": 0}, {"x": row(1), "t": 1, "n": 1}, (row(2), 2.0, 2)],
        lambda: iter([(row(0), 0.5, 0), (row(1), 1.0, 1), (row(2), 2, 2)]),
        [{"x": [[i, i, i]], "t": np.float64(t), "n": i} for i, t in enumerate((0.5, 1, 2))],
    ],
    ids=["arrays", "list", "function", "lists of numbers"],
)
def test_scalars(data):
    samples = list(opened(data, SCALARS))
    assert [float(s.tensors["t"]) for s in samples] == [0.5, 1, 2]
    assert [int(s.tensors["n"]) for s in samples] == [0, 1, 2]
    assert {s.tensors["t"].shape for s in samples} == {()}
    assert {s.tensors["t"].dtype for s in samples} == {np.dtype(np.float32)}


def test_a_wrong_shape_for_a_scalar_names_it():
    told = refused("OQ404", {"x": rows(2), "t": np.ones((2, 2)), "n": np.arange(2)}, SCALARS)
    assert "the model's input is float32 scalar" in told.message


def test_an_input_of_unknown_rank_takes_arrays_of_any_shape():
    proto = onnx.ModelProto()
    proto.CopyFrom(UNRANKED)
    unranked = Graph(proto, digest="d")
    for shape in ((2, 4, 8), (), (7,)):
        (sample,) = opened({"x": np.ones(shape, np.float32)}, unranked)
        assert sample.tensors["x"].shape == shape
    assert "of any shape" in refused("OQ405", "random", unranked).message
    samples = list(opened("random", unranked, shapes={"x": (2, 4, 8)}, samples=2))
    assert [s.tensors["x"].shape for s in samples] == [(2, 4, 8)] * 2


def test_an_input_may_be_empty():
    cache = graph('g (float[1,"P",4] x) => (float y) { y = Relu (x) }')
    (sample,) = opened("random", cache, shapes={"x": (1, 0, 4)}, samples=1)
    assert sample.tensors["x"].shape == (1, 0, 4)


UNRANKED = model("g (float[1] x) => (float y) { y = Relu (x) }")
UNRANKED.graph.input[0].type.tensor_type.ClearField("shape")
UNRANKED.graph.output[0].type.tensor_type.ClearField("shape")


class Computed:
    """Items by number, as a dataset of torch has them, which raises no IndexError."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return np.full((1, 3), index, np.float32)


def test_a_dataset_ends_at_its_length():
    assert [float(s.tensors["x"][0, 0]) for s in opened(Computed())] == [0, 1, 2]
