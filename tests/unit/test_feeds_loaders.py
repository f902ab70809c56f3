"""Python files as data, and Polygraphy's saved inputs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from polygraphy.json import save_json

from onnxq.diagnostics import OnnxqError
from onnxq.feeds import DataRequest
from tests.onnx_text import graph, model

ONE = graph("g (float[1,3] x) => (float y) { y = Relu (x) }")
DYNAMIC = graph('g (float["N",3] x) => (float y) { y = Relu (x) }')
TOKENS = graph('g (float[1,"T"] x) => (float y) { y = Relu (x) }')
TWO = graph(
    """
    g (float[1,3] a, int32[1,2] b) => (float y) {
        c = Cast <to = 1> (b)
        y = Concat <axis = 1> (a, c)
    }
    """
)


def opened(source, graph_, **asked):
    return DataRequest(source=str(source), **asked).open(graph_)


def loader(folder, text, name="loader.py"):
    """A loader file; `np` is there."""
    path = folder / name
    path.write_text("import numpy as np\n" + text)
    return path


def first_values(feed, name="x"):
    return [float(sample.tensors[name].flat[0]) for sample in feed]


def refused(code, source, graph_=ONE, **asked):
    with pytest.raises(OnnxqError) as caught:
        list(opened(source, graph_, **asked))
    (found,) = caught.value.diagnostics
    assert found.code == code
    return found


@pytest.mark.parametrize(
    "value",
    [
        "{'a': np.full((1, 3), i), 'b': np.full((1, 2), i)}",
        "(np.full((1, 3), i), np.full((1, 2), i))",
        "[np.full((1, 3), i, np.float64), np.full((1, 2), i, np.int8)]",
    ],
    ids=["dictionary", "tuple", "list"],
)
def test_what_a_function_yields(tmp_path, value):
    path = loader(tmp_path, f"def load_data():\n    for i in range(3):\n        yield {value}\n")
    for _ in range(2):  # every pass is the same
        found = list(opened(path, TWO))
        assert [s.tensors["a"][0, 2] for s in found] == [0, 1, 2]
        assert [s.tensors["b"][0, 1] for s in found] == [0, 1, 2]
        assert {s.tensors["a"].dtype for s in found} == {np.dtype(np.float32)}
        assert {s.tensors["b"].dtype for s in found} == {np.dtype(np.int32)}


ARRAY = "np.full((1, 3), i, np.float32)"


@pytest.mark.parametrize(
    "text",
    [
        f"def mine():\n    return [{ARRAY} for i in range(3)]",
        f"mine = [{ARRAY} for i in range(3)]",
        f"mine = lambda: ({ARRAY} for i in range(3))",
        f"class mine:\n    def __iter__(self):\n        return iter([{ARRAY} for i in range(3)])",
        "mine = np.repeat(np.arange(3.0), 3).reshape(3, 1, 3)",
    ],
    ids=["function", "list", "generator", "class", "array"],
)
def test_what_may_be_named(tmp_path, text):
    assert first_values(opened(f"{loader(tmp_path, text)}:mine", ONE)) == [0, 1, 2]


def test_rows_beyond_the_models_batch_are_samples(tmp_path):
    path = loader(tmp_path, "load_data = [np.arange(12.).reshape(4, 3), np.full((1, 3), 20.)]")
    assert first_values(opened(path, ONE)) == [0, 3, 6, 9, 20]
    assert [s.tensors["x"].shape for s in opened(path, DYNAMIC)] == [(4, 3), (1, 3)]
    found = list(opened(path, DYNAMIC, batch=2))
    assert [s.tensors["x"].shape for s in found] == [(2, 3), (2, 3), (1, 3)]
    assert [s.count for s in found] == [2, 2, 1]


def test_parts_and_samples_of_a_loader(tmp_path):
    path = loader(tmp_path, f"def load_data():\n    for i in range(7):\n        yield {ARRAY}")
    feed = opened(path, ONE)
    assert feed.length is None
    assert first_values(feed.part(1, 3)) == [1, 4]
    assert [s.number for s in feed.part(1, 3)] == [1, 4]
    assert first_values(feed.part(9, 1)) == []
    assert first_values(opened(path, ONE, samples=3)) == [0, 1, 2]
    feed = opened(path, ONE, samples=9)
    assert len(list(feed)) == 7
    assert [d.code for d in feed.warnings] == ["OQ427"]


def test_an_endless_loader_is_stopped(tmp_path):
    text = f"""
def load_data():
    i = 0
    while True:
        yield {ARRAY}
        i += 1
"""
    assert len(list(opened(loader(tmp_path, text), ONE, samples=5))) == 5


def test_what_lies_beside_the_file_can_be_imported(tmp_path):
    loader(tmp_path, f"values = [{ARRAY} for i in range(2)]", "beside_the_loader.py")
    path = loader(tmp_path, "from beside_the_loader import values as load_data")
    assert first_values(opened(path, ONE)) == [0, 1]


TORCH = """
import torch
from torch.utils.data import DataLoader, Dataset

class Numbers(Dataset):
    def __len__(self):
        return 5
    def __getitem__(self, i):
        if i == FAILS:
            raise KeyError("no such picture")
        return torch.full((3,), float(i)), i

def batches(workers=0):
    return DataLoader(Numbers(), batch_size=2, num_workers=workers)

with_labels = batches()
def inputs():
    for images, _ in with_labels:
        yield images.requires_grad_()
def in_workers():
    for images, _ in batches(2):
        yield (images,)
"""


@pytest.mark.parametrize("function", ["inputs", "in_workers"])
def test_a_dataloader_of_torch(tmp_path, function):
    path = loader(tmp_path, TORCH.replace("FAILS", "-1"))
    assert first_values(opened(f"{path}:{function}", ONE)) == [0, 1, 2, 3, 4]
    found = list(opened(f"{path}:{function}", DYNAMIC))
    assert [s.tensors["x"].shape for s in found] == [(2, 3), (2, 3), (1, 3)]


def test_labels_are_no_inputs(tmp_path):
    path = loader(tmp_path, TORCH.replace("FAILS", "-1"))
    found = refused("OQ403", f"{path}:with_labels", DYNAMIC)
    assert "2 tensors" in found.message
    assert "without labels" in found.fix


@pytest.mark.parametrize("function", ["inputs", "in_workers"])
def test_an_error_in_a_dataset_of_torch_has_its_line(tmp_path, function):
    path = loader(tmp_path, TORCH.replace("FAILS", "3"))
    found = refused("OQ422", f"{path}:{function}")
    assert "KeyError: 'no such picture'" in found.message
    assert found.span.source.strip() == 'raise KeyError("no such picture")'


def test_torch_is_not_imported_for_arrays(tmp_path):
    onnx.save(model("g (float[1,3] x) => (float y) { y = Relu (x) }"), tmp_path / "m.onnx")
    path = loader(tmp_path, f"load_data = [{ARRAY} for i in range(3)]")
    code = f"""
import sys, onnx
from onnxq.feeds import DataRequest
from onnxq.model.graph import Graph
print(len(list(DataRequest(source={str(path)!r}).open(Graph(onnx.load("m.onnx"))))))
assert "torch" not in sys.modules and "polygraphy" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_an_exception_names_the_last_line_of_the_file(tmp_path):
    text = f"""
def helper():
    return np.ones(3).reshape(2, 2)

def load_data():
    i = 0
    yield {ARRAY}
    yield helper()
"""
    found = refused("OQ422", loader(tmp_path, text))
    assert found.span.source == "    return np.ones(3).reshape(2, 2)"
    assert (found.span.line, found.span.column) == (4, 12)
    assert "ValueError: cannot reshape" in found.message


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("x = 1 +\n", 2, "SyntaxError"),
        ("import no_such_module\n", 2, "ModuleNotFoundError"),
        ("\nimport sys\nsys.exit('give a path')\n", 4, "SystemExit: give a path"),
        ("def load_data():\n    return 1 / 0\n", 3, "ZeroDivisionError"),
        ("def load_data():\n    return len(5)\n", 3, "TypeError"),
    ],
)
def test_a_file_that_does_not_run(tmp_path, text, line, told):
    found = refused("OQ422", loader(tmp_path, text))
    assert told in found.message
    assert found.span.line == line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def load_date(): pass", "did you mean 'load_date'?"),
        ("def load_data(): pass", "NoneType"),
        ("load_data = 5", "'int' object is not iterable"),
        ("def load_data(path): yield 1", "required positional argument"),
        ("load_data = (i for i in range(2))", "only once"),
    ],
)
def test_a_file_without_samples(tmp_path, text, told):
    assert told in str(refused("OQ421", loader(tmp_path, text)))


@pytest.mark.parametrize("value", ["'cat.jpg'", "{'x': 'cat.jpg'}", "(None,)"])
def test_what_is_no_tensor(tmp_path, value):
    found = refused("OQ423", loader(tmp_path, f"load_data = [{value}]"))
    assert "not a tensor" in found.message


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("OQ403", "{'y': np.ones((1, 3))}"),
        ("OQ403", "{}"),
        ("OQ403", "(np.ones((1, 3)), np.ones((1, 3)))"),
        ("OQ404", "np.ones(3)"),
        ("OQ404", "np.ones((1, 4))"),
        ("OQ404", "np.full((1, 3), 'a')"),
        ("OQ404", "np.full((1, 3), 1e300)"),
        ("OQ425", "np.full((1, 3), np.nan)"),
    ],
)
def test_tensors_that_do_not_fit(tmp_path, code, value):
    refused(code, loader(tmp_path, f"load_data = [{value}]"))


def test_a_loader_without_any_sample(tmp_path):
    refused("OQ401", loader(tmp_path, "load_data = []"))


def test_shapes_that_differ_need_permission(tmp_path):
    path = loader(tmp_path, "load_data = [np.ones((1, 3)), np.ones((1, 3)), np.ones((1, 4))]")
    found = refused("OQ424", path, TOKENS)
    assert "1x3" in found.message
    assert "1x4" in found.message
    shapes = [s.tensors["x"].shape for s in opened(path, TOKENS, ragged=True)]
    assert shapes == [(1, 3), (1, 3), (1, 4)]


def test_a_seed_is_not_for_loaders(tmp_path):
    refused("OQ420", loader(tmp_path, "load_data = []"), samples=2, seed=1)


def test_loaders_are_run_only_when_they_are_named(tmp_path):
    loader(tmp_path, "raise RuntimeError")
    assert "no pictures" in refused("OQ401", tmp_path).message


def test_a_missing_file():
    assert "'no/such.py'" in refused("OQ401", "no/such.py:load").message


@pytest.mark.parametrize(
    ("source", "rest"), [("d/l.py:f", "d/l.py:f"), ("d/l.py", "d/l.py"), ("imgs", "imgs")]
)
def test_a_request_with_an_absolute_path(tmp_path, monkeypatch, source, rest):
    monkeypatch.chdir(tmp_path)
    assert DataRequest(source=source).absolute().source == str(Path(tmp_path) / rest)


def test_inputs_that_polygraphy_saved(tmp_path):
    """The file is written by Polygraphy's own command, as users do."""
    onnx.save(model("g (float[1,3] x, float[1,3] z) => (float y) { y = Add (x, z) }"), "m.onnx")
    subprocess.run(
        [sys.executable, Path(sys.executable).with_name("polygraphy"), "run", "m.onnx", "--onnxrt",
         "--iterations", "3", "--save-inputs", "in.json"],
        check=True, capture_output=True,
    )  # fmt: skip
    from polygraphy.json import load_json

    view = graph("g (float[1,3] x, float[1,3] z) => (float y) { y = Add (x, z) }")
    found = list(opened("in.json", view))
    assert len(found) == 3
    for sample, saved in zip(found, load_json("in.json"), strict=True):
        np.testing.assert_array_equal(sample.tensors["z"], saved["z"])


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_saved_inputs_are_chosen_and_stacked():
    save_json([{"x": np.full((1, 3), i, np.float32)} for i in range(10)], "in.json")
    assert first_values(opened("in.json", DYNAMIC, samples=4)) == [0, 2, 5, 7]
    assert [s.count for s in opened("in.json", DYNAMIC, batch=4)] == [4, 4, 2]


def test_a_folder_of_saved_inputs_has_one_dictionary_a_file():
    Path("saved").mkdir()
    for i in range(3):
        save_json({"x": np.full((1, 3), i, np.float32)}, f"saved/000000000{i}.json")
    assert first_values(opened("saved", ONE)) == [0, 1, 2]
    assert first_values(opened("saved/0000000001.json", ONE)) == [1]


@pytest.mark.parametrize(
    ("code", "content"),
    [
        ("OQ401", "{"),
        ("OQ401", "{}"),
        ("OQ401", '{"a": 1}'),
        ("OQ401", "[1, 2]"),
        ("OQ401", "[]"),
        ("OQ423", '[{"x": "text"}]'),
    ],
)
def test_other_json(code, content):
    Path("in.json").write_text(content)
    assert "in.json" in refused(code, "in.json").message


@pytest.mark.parametrize("spelled", ["loader.py:train", "./loader.py:train", "./loader.py"])
def test_a_source_for_another_folder_is_the_same(tmp_path, monkeypatch, spelled):
    text = "load_data = [np.full((1, 3), 1)]\ntrain = [np.full((1, 3), 2)]\n"
    loader(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    here = DataRequest(source=spelled)
    there = here.absolute()
    assert Path(there.source).is_absolute()
    monkeypatch.chdir("/")
    assert first_values(there.open(ONE)) == [2.0 if "train" in spelled else 1.0]


def test_strings_have_a_digest_of_what_they_say(tmp_path):
    strings = graph("g (string[1] x) => (string[1] y) { y = Identity (x) }")
    text = "def load_data():\n    yield np.array([''.join(['long'] * {})], object)\n"
    digests = [
        [s.digest for s in opened(loader(tmp_path, text.format(count)), strings)]
        for count in (20, 20, 21)
    ]
    assert digests[0] == digests[1] != digests[2]
