import gc
import pickle
import threading
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from polygraphy.json import save_json

from onnxq.calibration.statistics import short_digests
from onnxq.diagnostics import OnnxqError
from onnxq.feeds import DataRequest
from onnxq.feeds.feed import PassPosition
from onnxq.feeds.preprocess import Preprocess
from onnxq.model.graph import Graph
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


def open_feed(source, graph_, **asked):
    return DataRequest(source=str(source), **asked).open(graph_)


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
        next(iter(open_feed(tmp_path, IMAGE, preprocess=how))).digest
        for how in (Preprocess(), Preprocess(color="BGR"), Preprocess(pad=3))
    }
    assert len(digests) == 3


def test_pictures_are_left_out_afresh_in_every_iteration(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no")
    feed = open_feed(tmp_path, IMAGE)
    for _ in range(2):
        assert len(list(feed)) == 1
        assert [d.code for d in feed.warnings] == ["OQ402"]


def test_shapes_are_checked_against_what_the_file_declares():
    text = 'g (float["N",3,"H",8] x) => (float y) { y = Relu (x) }'
    view = Graph(model(text), shapes={"x": (1, 4, 8, 8)})
    with pytest.raises(OnnxqError) as caught:
        open_feed("nowhere", view, shapes={"x": (1, 4, 8, 8)})
    assert caught.value.diagnostics[0].code == "OQ404"


def pictures(folder, count, broken=()):
    """A folder of pictures of one grey each, 10 * number; some are broken."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        Image.new("RGB", (8, 8), (10 * number,) * 3).save(folder / f"{number:02}.png")
    for number in broken:
        (folder / f"{number:02}.png").write_bytes(b"no")
    return folder


def greys(feed):
    """The picture numbers that are in each sample of a feed."""
    return [[round(x[0, 0, 0] * 25.5) for x in sample.tensors["x"]] for sample in feed]


def test_a_model_of_four_pictures_is_given_four(tmp_path):
    four = graph("g (float[4,3,8,8] x) => (float y) { y = Relu (x) }")
    feed = open_feed(pictures(tmp_path / "p", 11), four)
    assert feed.length == 2
    assert greys(feed) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [s.count for s in feed] == [4, 4]
    (told,) = feed.warnings
    assert told.code == "OQ426"
    assert told.message.startswith("3 samples were left out")


@pytest.mark.parametrize("steps", [[(1, 2)], [(0, 3), (1, 2)], [(2, 1), (1, 3)], [(7, 1)]])
def test_parts_are_every_nth_and_compose(tmp_path, steps):
    feed = open_feed(pictures(tmp_path / "p", 12, broken=[4, 7]), IMAGE)
    expected = list(range(12))
    for start, step in steps:
        feed, expected = feed.part(start, step), expected[start::step]
    assert feed.length == len(expected)
    expected = [n for n in expected if n not in (4, 7)]
    assert [s.number for s in feed] == expected
    assert greys(feed) == [[n] for n in expected]


def stops(feed):
    """How far a pass is after each of its samples, and before the first."""
    yield None
    digests = []
    for sample in feed:
        digests += short_digests(sample.digests)
        yield PassPosition(last=sample.number, findings=feed.findings, digests=tuple(digests))


@pytest.mark.parametrize("part", [(0, 1), (1, 3), (7, 8)])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_pass_goes_on_from_any_sample_and_tells_as_much(tmp_path, part, batch):
    size = "N" if batch == 1 else batch
    view = graph(f'g (float["{size}",3,8,8] x) => (float y) {{ y = Relu (x) }}'.replace('"2"', "2"))
    feed = open_feed(pictures(tmp_path / "p", 13, broken=[0, 4, 8]), view).part(*part)
    numbers = [s.number for s in feed]
    whole = [str(d) for d in feed.warnings]
    for done in list(stops(feed)):
        last = -1 if done is None else done.last
        assert [s.number for s in feed.after(done)] == [n for n in numbers if n > last]
        assert [str(d) for d in feed.warnings] == whole


@pytest.mark.parametrize("form", ["picture", "array", "archive", "loader"])
def test_data_that_changed_since_is_named(tmp_path, form):
    files = {"picture": "1.png", "array": "1.npy", "archive": "1.npz", "loader": "loader.py"}
    file = tmp_path / files[form]

    def write(number, value):
        path = file.with_stem(str(number)) if form != "loader" else file
        if form == "picture":
            Image.new("RGB", (8, 8), (value,) * 3).save(path)
        elif form == "loader":
            text = "import numpy as np\nload_data = [np.full((1, 3, 8, 8), i) for i in (0, {}, 2)]"
            path.write_text(text.format(value))
        else:
            array = np.full((1, 3, 8, 8), value, np.float32)
            np.savez(path, x=array) if form == "archive" else np.save(path, array)

    for number in range(3):
        write(number, 1)
    feed = open_feed(file if form == "loader" else tmp_path, IMAGE)
    _, first, second, third = stops(feed)
    write(1, 5)
    assert len(list(feed.after(first))) == 2
    for done in (second, third):
        with pytest.raises(OnnxqError, match="has changed since") as caught:
            list(feed.after(done))
        named = f"{file}[1]" if form == "loader" else str(file)
        assert f"'{named}'" in str(caught.value)
    write(1, 1)
    assert len(list(feed.after(second))) == 1


def test_a_part_does_not_open_the_other_pictures(tmp_path):
    folder = pictures(tmp_path / "p", 6)
    feed = open_feed(folder, IMAGE).part(1, 2)
    for number in (0, 2, 4):
        (folder / f"{number:02}.png").unlink()
    assert [s.number for s in feed] == [1, 3, 5]
    assert feed.warnings == []


def test_a_request_goes_to_another_process(tmp_path):
    asked = DataRequest(
        source=str(pictures(tmp_path / "p", 6)), preprocess=Preprocess(), samples=3, seed=1
    )
    again = pickle.loads(pickle.dumps(asked))
    assert [s.digest for s in again.open(IMAGE)] == [s.digest for s in asked.open(IMAGE)]


def data_threads():
    return [t for t in threading.enumerate() if t.name.startswith("onnxq-data")]


def test_no_thread_is_left_when_the_consumer_stops(tmp_path):
    feed = open_feed(pictures(tmp_path / "p", 12), IMAGE)
    for _ in feed:
        assert data_threads()
        break
    assert data_threads() == []

    def fail():
        for _ in feed:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    gc.collect()
    assert data_threads() == []
    assert len(list(feed)) == 12
    assert data_threads() == []


def test_many_broken_pictures_are_one_line(tmp_path):
    feed = open_feed(pictures(tmp_path / "p", 8, broken=range(1, 6)), IMAGE)
    assert len(list(feed)) == 3
    (told,) = feed.warnings
    assert told.code == "OQ402"
    assert "5 files" in told.message
    assert "01.png" in told.message


def test_links_to_folders_are_followed(tmp_path):
    pictures(tmp_path / "elsewhere", 2)
    folder = pictures(tmp_path / "p", 1)
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "round").symlink_to(folder)
    assert len(list(open_feed(folder, IMAGE))) == 3


def test_more_samples_than_can_be_counted(tmp_path):
    assert refused("OQ420", "random", IMAGE, samples=10**30)


def test_no_name_is_not_the_working_folder():
    assert "the path of the data is empty" in refused("OQ401", "", IMAGE)


RAGGED = graph('g (float[1,"T"] x) => (float y) { y = Relu (x) }')
LOADER = """
import numpy as np
def load_data():
    for index, length in enumerate({}):
        yield {{"x": np.full((1, length), index, np.float32)}}
"""


def lengths(folder, form, given):
    """Data whose samples have these lengths."""
    if form == "loader":
        (folder / "loader.py").write_text(LOADER.format(given))
        return folder / "loader.py"
    samples = [{"x": np.full((1, n), i, np.float32)} for i, n in enumerate(given)]
    if form == "json":
        save_json(samples, str(folder / "in.json"))
        return folder / "in.json"
    for index, sample in enumerate(samples):
        np.savez(folder / f"{index}.npz", **sample)
    return folder


@pytest.mark.parametrize("form", ["archives", "loader", "json"])
@pytest.mark.parametrize("asked", [{}, {"samples": 4}])
def test_every_part_says_that_shapes_differ(tmp_path, form, asked):
    source = lengths(tmp_path, form, [3, 3, 3, 4, 4])  # of 4: by twos each part is alike
    told = refused("OQ424", source, RAGGED, **asked)
    for count in (2, 3, 7):
        for start in range(count):
            with pytest.raises(OnnxqError) as caught:
                list(open_feed(source, RAGGED, **asked).part(start, count))
            assert str(caught.value) == told
    assert len(list(open_feed(source, RAGGED, ragged=True))) == 5


@pytest.mark.parametrize("form", ["archives", "loader", "json"])
def test_samples_that_nobody_asked_for_may_have_any_shape(tmp_path, form):
    source = lengths(tmp_path, form, [3, 3, 4])
    chosen = 2 if form == "loader" else 1  # a loader's first, else evenly spread
    assert len(list(open_feed(source, RAGGED, samples=chosen))) == chosen


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("part", [(0, 1), (1, 3)])
def test_an_archive_is_read_row_by_row(tmp_path, pack, part):
    """Its member that is stored by columns is read whole; results are the same."""
    rng = np.random.default_rng(0)
    a, b = rng.random((9, 3), np.float32), np.asfortranarray(rng.integers(0, 9, (9, 2)))
    pack(tmp_path / "d.npz", a=a, b=b)
    found = list(open_feed(tmp_path / "d.npz", TWO).part(*part))
    numbers = range(part[0], 9, part[1])
    assert len(found) == len(numbers)
    for number, sample in zip(numbers, found, strict=True):
        np.testing.assert_array_equal(sample.tensors["a"], a[number : number + 1])
        np.testing.assert_array_equal(sample.tensors["b"], b[number : number + 1])


def test_the_values_of_an_archive_are_checked(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.arange(60, dtype=np.float32).reshape(20, 3))
    content = bytearray((tmp_path / "d.npz").read_bytes())
    at = content.index(np.float32(31).tobytes())
    content[at : at + 4] = np.float32(99).tobytes()
    (tmp_path / "d.npz").write_bytes(content)
    assert "CRC" in refused("OQ401", tmp_path / "d.npz", FIXED)


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
def test_memory_does_not_grow_with_an_archive(tmp_path, pack):
    pack(tmp_path / "d.npz", x=np.zeros((2000, 3, 64, 64), np.float32))  # 98 MB
    view = graph("g (float[1,3,64,64] x) => (float y) { y = Relu (x) }")
    feed = open_feed(tmp_path / "d.npz", view)
    tracemalloc.start()
    try:
        count = sum(1 for _ in feed)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 2000
    assert peak < 4 << 20
