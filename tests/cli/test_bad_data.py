"""What `onnxq calibrate` says of data that it cannot use."""

import re
import signal
import subprocess
import time
import zipfile

import numpy as np
import onnx
import pytest
from PIL import Image

from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import OnnxqError
from tests.command import ONNXQ, result, succeeded
from tests.onnx_text import model as from_text

from .conftest import make_picture

IMAGE = np.zeros((1, 3, 16, 16), np.float32)


def calibrate(data, *more):
    return ("calibrate", "model.onnx", "--data", data, *more)


def test_missing_folder(here):
    assert "'pictures' does not exist" in here.refuses("OQ401", *calibrate("pictures"))


def test_folder_without_pictures(here):
    (here / "empty").mkdir()
    (here / "empty" / "notes.txt").write_text("nothing to see")
    assert "'empty' has no pictures" in here.refuses("OQ401", *calibrate("empty"))


def test_text_file_as_data(here):
    assert "rules.yaml" in here.refuses("OQ401", *calibrate("rules.yaml"))


def broken_pictures(folder):
    """Pictures of several formats, each damaged in another way."""
    make_picture(folder / "cut.png")
    make_picture(folder / "zeroed.png")
    for suffix in ("jpg", "gif", "bmp", "tiff", "webp"):
        make_picture(folder / f"cut.{suffix}")
    for path in folder.glob("cut.*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    content = bytearray((folder / "zeroed.png").read_bytes())
    content[40:80] = bytes(40)
    (folder / "zeroed.png").write_bytes(content)
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty.png").write_bytes(b"")


def test_broken_pictures_among_good_ones_are_left_out(here):
    broken_pictures(here / "imgs")
    broken = len(list((here / "imgs").iterdir())) - 3
    outcome = succeeded(here.run(*calibrate("imgs", "-o", "new.npz")))
    warnings = [line for line in outcome.stderr.splitlines() if "warning[OQ402]" in line]
    assert len(warnings) == 1 == len(outcome.stderr.splitlines())
    assert f"{broken} files were left out" in warnings[0]
    assert "3 samples" in outcome.stdout
    assert (here / "new.npz").read_bytes() == (here / "model.calib.npz").read_bytes()


def test_broken_pictures_in_json(here):
    (here / "imgs" / "text.jpg").write_text("not a picture")
    told = result(succeeded(here.run(*calibrate("imgs", "-o", "new.npz", "--json"))))
    assert told["samples"] == 3
    assert [d["code"] for d in told["diagnostics"]] == ["OQ402"]
    assert told["diagnostics"][0]["severity"] == "warning"


def test_all_pictures_broken(here):
    (here / "broken").mkdir()
    broken_pictures(here / "broken")
    assert "none of the 9 files" in here.refuses("OQ401", *calibrate("broken"))


def damaged_copies(path, rng, count):
    """The file with a few bytes changed, `count` times."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(count):
        copy = content.copy()
        where = rng.integers(0, len(copy), 12)
        copy[where] = rng.integers(0, 256, 12)
        yield copy.tobytes()


def left_out(diagnostics):
    """How many files the warnings speak of."""
    told = [d["message"] for d in diagnostics if "left out" in d["message"]]
    many = [re.match(r"(\d+) files were left out", message) for message in told]
    return sum(int(found[1]) if found else 1 for found in many)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tiff", "webp", "ppm", "ico"])
def test_damaged_bytes_never_make_a_traceback(here, suffix):
    folder = here / "damaged"
    folder.mkdir()
    make_picture(folder / f"good.{suffix}", size=(32, 32))
    rng = np.random.default_rng(len(suffix))
    for index, content in enumerate(damaged_copies(folder / f"good.{suffix}", rng, 150)):
        (folder / f"{index}.{suffix}").write_bytes(content)
    outcome = succeeded(here.run(*calibrate("damaged", "--json")))
    told = result(outcome)
    assert told["samples"] + left_out(told["diagnostics"]) == 151
    assert "Traceback" not in outcome.stderr


def test_npz_with_a_wrong_input_name(here):
    np.savez(here / "d.npz", xx=IMAGE)
    told = here.refuses("OQ403", *calibrate("d.npz"))
    assert "'xx'" in told
    assert "'x'" in told


def test_npz_without_an_input(here):
    np.savez(here / "d.npz")
    assert "no array for the input 'x'" in here.refuses("OQ403", *calibrate("d.npz"))


@pytest.mark.parametrize(
    "array",
    [
        IMAGE[:, :2],
        IMAGE[0],
        np.zeros((1, 3, 16, 17), np.float32),
        np.float32(1),
        np.zeros((1, 3, 16, 16), np.complex64),
        np.full((1, 3, 16, 16), "a"),
    ],
    ids=["channels", "no batch", "width", "scalar", "complex", "text"],
)
def test_array_that_does_not_fit(here, array):
    np.savez(here / "d.npz", x=array)
    told = here.refuses("OQ404", *calibrate("d.npz"))
    assert "float32 1x3x16x16" in told
    assert "d.npz" in told


def test_float_array_for_an_integer_input(here):
    text = """
    embed (int64[1,4] x) => (float[1,4,8] y) <float[10,8] table, float[8,8] w> {
        rows = Gather (table, x)
        y = MatMul (rows, w)
    }
    """
    onnx.save(from_text(text), here / "model.onnx")
    np.save(here / "d.npy", np.zeros((1, 4), np.float32))
    assert "int64" in here.refuses("OQ404", *calibrate("d.npy"))


def test_npz_with_objects(here):
    np.savez(here / "d.npz", x=np.array([{}, []], dtype=object))
    here.refuses("OQ401", *calibrate("d.npz"))


def test_npz_without_any_sample(here):
    np.savez(here / "d.npz", x=IMAGE[:0])
    here.refuses("OQ401", *calibrate("d.npz"))


def test_npz_with_another_kind_of_member(here):
    with zipfile.ZipFile(here / "d.npz", "w") as archive:
        archive.writestr("x", "some text")
    here.refuses("OQ401", *calibrate("d.npz"))


@pytest.mark.parametrize("name", ["d.npz", "d.npy"])
@pytest.mark.parametrize("cut", [0, 1, 60, 400])
def test_cut_array_file(here, name, cut):
    save = np.savez_compressed if name.endswith("z") else np.save
    save(here / name, np.random.default_rng(0).normal(size=IMAGE.shape))
    (here / name).write_bytes((here / name).read_bytes()[:cut])
    assert name in here.refuses("OQ401", *calibrate(name))


def test_damaged_npz(here):
    np.savez_compressed(here / "d.npz", np.random.default_rng(0).normal(size=IMAGE.shape))
    content = bytearray((here / "d.npz").read_bytes())
    content[200:240] = bytes(40)
    (here / "d.npz").write_bytes(content)
    assert "d.npz" in here.refuses("OQ401", *calibrate("d.npz"))


def test_pictures_for_a_model_that_takes_none(here):
    text = "m (float[1,8] x) => (float[1,8] y) <float[8,8] w> { y = MatMul (x, w) }"
    onnx.save(from_text(text), here / "model.onnx")
    assert "x: float32 1x8" in here.refuses("OQ404", *calibrate("imgs"))


def test_sizes_of_the_pictures_do_not_matter(here):
    Image.new("L", (1, 900)).save(here / "imgs" / "thin.png")
    Image.new("RGBA", (700, 2)).save(here / "imgs" / "flat.png")
    Image.new("P", (5, 5)).save(here / "imgs" / "palette.png")
    Image.new("I;16", (5, 5)).save(here / "imgs" / "deep.png")
    assert "7 samples" in succeeded(here.run(*calibrate("imgs"))).stdout


def test_unknown_preprocessing(here):
    told = here.refuses("OQ406", *calibrate("imgs", "--preprocess", "yolo8"))
    assert "did you mean 'yolo'?" in told


@pytest.mark.parametrize(
    ("yaml", "code"),
    [
        ("resize: zoom", "OQ104"),
        ("colour: RGB", "OQ103"),
        ("std: 0", "OQ104"),
        ("std: [1, 0, 1]", "OQ104"),
        ("mean: [1, 2]", "OQ104"),
        ("mean: []", "OQ104"),
        ("divide: 0", "OQ104"),
        ("pad: [", "OQ102"),
        ("- 1", "OQ104"),
    ],
)
def test_bad_preprocessing_file(here, yaml, code):
    (here / "p.yaml").write_text(yaml)
    told = here.refuses(code, *calibrate("imgs", "--preprocess", "p.yaml"), lines=3)
    assert told.startswith("p.yaml:1:")
    assert told.splitlines()[2].strip() == "^"


def test_preprocessing_with_other_channels_than_the_model(here):
    text = "m (float[1,1,8,8] x) => (float y) <float[4,1,3,3] w> { y = Conv (x, w) }"
    onnx.save(from_text(text), here / "model.onnx")
    told = here.refuses("OQ406", *calibrate("imgs", "--preprocess", "imagenet"))
    assert "mean" in told


def test_statistics_say_that_their_data_was_random(here):
    succeeded(here.run(*calibrate("random", "--samples", "2", "--seed", "5", "-o", "r.npz")))
    assert Statistics.load(here / "r.npz").data == "random, seed 5"
    assert Statistics.load(here / "model.calib.npz").data == ""
    with pytest.raises(OnnxqError, match="OQ418"):
        Statistics.load(here / "r.npz") + Statistics.load(here / "model.calib.npz")


def test_a_shape_that_the_model_refuses(here):
    text = """
    halves (float[1,N] x) => (float[2,M] y) <int64[2] two = {2, -1}, float[4,4] w> {
        pairs = Reshape (x, two)
        y = MatMul (pairs, w)
    }
    """
    onnx.save(from_text(text), here / "model.onnx")
    np.save(here / "d.npy", np.zeros((1, 7), np.float32))
    assert "'d.npy'" in here.refuses("OQ305", *calibrate("d.npy"))


LOADER = """
import numpy as np

load_data = [np.full((1, 3, 16, 16), i / 3) for i in range(3)]

def mine():
    yield np.ones((3, 3, 16, 16))
"""


@pytest.mark.parametrize("source", ["loader.py", "loader.py:mine"])
@pytest.mark.parametrize("quick", [("--samples", "2"), ("--samples", "2", "--batch", "1")])
def test_verify_takes_the_same_data(finished, source, quick):
    (finished / "loader.py").write_text(LOADER)
    outcome = finished.run(
        "verify",
        "model.onnx",
        "model.qdq.onnx",
        "--backend",
        "onnxruntime",
        "--data",
        source,
        *quick,
    )
    assert "2 samples" in succeeded(outcome).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_over_a_loader_without_end(here, number):
    (here / "loader.py").write_text(
        "import itertools, numpy as np\n"
        "def load_data():\n"
        "    for i in itertools.count():\n"
        "        if i == 50: open('begun', 'w').close()\n"
        "        yield np.ones((1, 3, 16, 16))\n"
    )
    run = calibrate("loader.py", "-o", "new.npz", "--checkpoint", "state.ck")
    with subprocess.Popen(
        [ONNXQ, *run], cwd=here.folder, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (here / "begun").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        errors = process.communicate(timeout=120)[1]
    assert process.returncode == 128 + number
    assert errors.splitlines()[-1] == (
        "interrupted; 'state.ck' has the statistics so far, --resume continues"
    )
    assert not (here / "new.npz").exists()


RAISED = {
    "GeneratorExit": "raise GeneratorExit",
    "Stopped: x": "class Stopped(BaseException): pass\n    raise Stopped('x')",
    "Odd": "class Odd(Exception):\n        def __str__(self): 1 / 0\n    raise Odd",
}


@pytest.mark.parametrize("told", RAISED)
def test_whatever_a_loader_raises(here, told):
    begin = "import numpy\ndef load_data():\n    yield numpy.ones((1, 3, 16, 16))\n"
    (here / "loader.py").write_text(f"{begin}    {RAISED[told]}\n")
    assert f"the loader raised {told}; " in here.refuses("OQ422", *calibrate("loader.py"), lines=3)


@pytest.mark.parametrize("after", ["", "os.rmdir('../elsewhere')"])
def test_a_loader_that_changes_the_working_folder(here, after):
    (here / "loader.py").write_text(
        "import os, numpy\n"
        "def load_data():\n"
        "    os.mkdir('elsewhere')\n"
        "    os.chdir('elsewhere')\n"
        f"    {after}\n"
        "    for number in range(3):\n"
        "        yield numpy.full((1, 3, 16, 16), number)\n"
        f"        assert {bool(after)} or os.path.basename(os.getcwd()) == 'elsewhere'\n"
    )
    succeeded(here.run(*calibrate("loader.py", "-o", "new.npz")))
    assert Statistics.load(here / "new.npz").samples == 3


def test_a_loader_that_lets_numpy_raise_errors(here):
    (here / "loader.py").write_text(
        "import numpy\n"
        "numpy.seterr(all='raise')\n"
        "load_data = [numpy.full((1, 3, 16, 16), 1e-40), numpy.ones((1, 3, 16, 16))]\n"
    )
    succeeded(here.run(*calibrate("loader.py", "-o", "new.npz")))


def test_a_dataset_ends_at_its_length(here):
    """It has items by number, of which Python would ask for ever."""
    (here / "loader.py").write_text(
        "import numpy\n"
        "class Data:\n"
        "    def __len__(self): return 3\n"
        "    def __getitem__(self, index): return numpy.full((1, 3, 16, 16), index / 3)\n"
        "load_data = Data()\n"
    )
    succeeded(here.run(*calibrate("loader.py", "-o", "new.npz"), seconds=120))
    assert Statistics.load(here / "new.npz").samples == 3
