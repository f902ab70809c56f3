"""Folders and files as they come: what is used, what is not, and what is told of it."""

import os
import shutil
import zlib

import numpy as np
import onnx
import pytest
from PIL import Image
from polygraphy.json import save_json

from onnxq.calibration.statistics import Statistics
from tests.command import result, succeeded
from tests.onnx_text import model as from_text

from .test_long_runs import without_privileges

CALIBRATE = ("calibrate", "model.onnx", "--data")
IMAGE = np.ones((1, 3, 16, 16), np.float32)


@pytest.fixture
def arrays(here):
    """A folder of two arrays."""
    (here / "arrays").mkdir()
    for index in range(2):
        np.savez(here / "arrays" / f"{index}.npz", x=IMAGE * index)
    return here


def told(here, source, *more, **options):
    """What calibrate says of data that it takes."""
    return succeeded(here.run(*CALIBRATE, source, "-o", "new.npz", *more, **options)).stderr


def samples(here):
    return Statistics.load(here / "new.npz").samples


def test_calibrations_and_checkpoints_among_arrays_are_no_data(arrays):
    shutil.copy(arrays / "model.calib.npz", arrays / "arrays" / "part-1.npz")
    (arrays / "loader.py").write_text(
        "import numpy\n"
        "def load_data():\n"
        "    yield numpy.ones((1, 3, 16, 16))\n"
        "    raise OSError('disk gone')\n"
    )
    checkpoint = ("--checkpoint", "arrays/run.npz")
    assert arrays.run(*CALIBRATE, "loader.py", *checkpoint).returncode == 2
    line = told(arrays, "arrays")
    assert line.startswith(
        "warning[OQ438]: not used as data: 'arrays/part-1.npz' and 1 other, which onnxq wrote; "
    )
    assert samples(arrays) == 2


@pytest.mark.parametrize("name", ["model.calib.npz", "part.npz", "part.jpg"])
def test_a_calibration_is_no_data(here, name):
    (here / name).write_bytes((here / "model.calib.npz").read_bytes())
    line = here.refuses("OQ401", *CALIBRATE, name, "-o", "new.npz")
    assert f"'{name}' is a calibration that onnxq wrote" in line


def test_a_folder_with_nothing_but_calibrations(here):
    (here / "parts").mkdir()
    shutil.copy(here / "model.calib.npz", here / "parts" / "1.npz")
    line = here.refuses("OQ401", *CALIBRATE, "parts")
    assert "'parts' has no data; not used as data: 'parts/1.npz', which onnxq wrote" in line


def test_a_folder_of_saved_inputs(here):
    (here / "json").mkdir()
    for index in range(3):
        save_json([{"x": IMAGE * index}, {"x": IMAGE}], str(here / "json" / f"{index}.json"))
    assert told(here, "json", "--samples", "5") == ""
    assert samples(here) == 5
    save_json([{"x": np.ones((1, 3, 16, 17), np.float32)}], str(here / "json" / "3.json"))
    assert "'json/3.json[0]'" in here.refuses("OQ404", *CALIBRATE, "json")


def test_annotations_beside_pictures_are_no_data(here):
    (here / "imgs" / "annotations.json").write_text('{"a": 1}')
    assert told(here, "imgs") == ""
    assert samples(here) == 3


def test_a_folder_of_other_json(here):
    (here / "json").mkdir()
    (here / "json" / "a.json").write_text('{"a": 1}')
    line = here.refuses("OQ401", *CALIBRATE, "json")
    assert "'json/a.json' cannot be read as saved inputs" in line
    assert "polygraphy run --save-inputs" in line


@pytest.mark.parametrize("option", ["--data", "--samples", "--preprocess"])
def test_an_option_given_twice(here, option):
    value = {"--data": "imgs", "--samples": "1", "--preprocess": "yolo"}[option]
    line = here.refuses("OQ217", *CALIBRATE, "imgs", option, value, option, value)
    assert f"{option} is given {3 if option == '--data' else 2} times" in line
    assert ("one folder" in line) == (option == "--data")


def test_options_that_may_be_given_often(here):
    succeeded(here.run("calib", "show", "--tensor", "x", "--tensor", "b", "--json", "--json"))


def test_links_that_lead_round_or_nowhere(here):
    imgs = here / "imgs"
    (imgs / "round").symlink_to(imgs)
    (imgs / "self.png").symlink_to("self.png")
    (imgs / "gone.png").symlink_to("nothing.png")
    lines = told(here, "imgs").splitlines()
    assert [line.split(":")[0] for line in lines] == ["warning[OQ402]"] * 2
    assert "'imgs/gone.png' was left out: no such file or directory" in lines[0]
    assert "'imgs/self.png' was left out: too many levels of symbolic links" in lines[1]
    assert samples(here) == 3
    line = here.refuses("OQ401", *CALIBRATE, "imgs/gone.png")
    assert "'imgs/gone.png' is a link that leads nowhere" in line


def test_what_is_no_file_is_not_waited_for(here):
    os.mkfifo(here / "imgs" / "pipe.png")
    assert "'imgs/pipe.png' is no regular file" in told(here, "imgs")
    assert "'imgs/pipe.png' is no regular file" in here.refuses(
        "OQ401", *CALIBRATE, "imgs/pipe.png"
    )


def test_a_pattern_is_no_folder(here):
    line = here.refuses("OQ401", *CALIBRATE, "imgs/*.png")
    assert "'imgs/*.png' does not exist; give the folder: patterns are not read" in line


def test_files_and_folders_that_may_not_be_read(here):
    (here / "imgs" / "closed").mkdir()
    shutil.copy(here / "imgs" / "0.png", here / "imgs" / "closed")
    (here / "imgs" / "1.png").chmod(0)
    (here / "imgs" / "closed").chmod(0)
    try:
        lines = told(here, "imgs", prepare=without_privileges).splitlines()
        assert len(lines) == 2
        assert "OQ438]: the folder 'imgs/closed' cannot be read: permission denied; " in lines[0]
        assert "OQ402]: 'imgs/1.png' was left out: permission denied; " in lines[1]
        outcome = here.run(*CALIBRATE, "imgs/closed", prepare=without_privileges)
        assert outcome.returncode == 2
        assert "the folder 'imgs/closed' cannot be read: permission denied" in outcome.stderr
    finally:
        (here / "imgs" / "closed").chmod(0o755)
        (here / "imgs" / "1.png").chmod(0o644)


def test_an_array_that_may_not_be_read(arrays):
    (arrays / "arrays" / "1.npz").chmod(0)
    outcome = arrays.run(*CALIBRATE, "arrays", prepare=without_privileges)
    (arrays / "arrays" / "1.npz").chmod(0o644)
    assert outcome.returncode == 2
    assert outcome.stderr == (
        "error[OQ401]: 'arrays/1.npz' cannot be read: permission denied; correct its permissions\n"
    )


def test_arrays_without_a_sample_among_others(arrays):
    np.savez(arrays / "arrays" / "2.npz", x=IMAGE[:0])
    np.savez(arrays / "arrays" / "3.npz", x=IMAGE[:0])
    line = told(arrays, "arrays")
    assert line.startswith("warning[OQ438]: 'arrays/2.npz' holds no sample, like 1 other file; ")
    assert samples(arrays) == 2


@pytest.mark.parametrize("name", ["d.npy", "d.npz"])
def test_empty_files(here, name):
    (here / name).touch()
    line = here.refuses("OQ401", *CALIBRATE, name)
    assert line == f"error[OQ401]: '{name}' cannot be read: it is empty; save it with numpy\n"


class Evil:
    """What runs when it is unpickled."""

    def __reduce__(self):
        return (os.system, ("touch unpickled",))


@pytest.mark.parametrize("name", ["d.npy", "d.npz"])
def test_pickles_are_never_loaded(here, name):
    array = np.array([Evil()], dtype=object)
    np.save(here / name, array) if name.endswith("y") else np.savez(here / name, x=array)
    line = here.refuses("OQ401", *CALIBRATE, name)
    assert "it holds Python objects, which onnxq never loads" in line
    assert not (here / "unpickled").exists()


def test_a_picture_that_claims_billions_of_pixels(here):
    Image.new("RGB", (8, 8)).save(here / "small.png")
    content = bytearray((here / "small.png").read_bytes())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (here / "large.png").write_bytes(content)
    assert "3600000000 pixels" in here.refuses("OQ401", *CALIBRATE, "large.png")


def test_animations_give_their_first_frame(here):
    frames = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in (0, 90, 200)]
    for name in ("a.gif", "b.webp", "c.png"):
        frames[0].save(here / "imgs" / name, save_all=True, append_images=frames[1:])
    line = told(here, "imgs")
    assert line.startswith(
        "warning[OQ438]: only the first frame of 'imgs/a.gif' and of 2 others is used; "
    )
    assert samples(here) == 6


def test_pictures_of_every_kind(here):
    """CMYK, grey of 16 bits, palettes with and without transparency, alpha, and single pixels."""
    folder = here / "kinds"
    folder.mkdir()
    colour = (200, 100, 50)
    Image.new("CMYK", (8, 8), (10, 80, 200, 0)).save(folder / "cmyk.jpg")
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(folder / "deep.png")
    Image.new("RGB", (8, 8), colour).quantize(4).save(folder / "palette.png")
    Image.new("RGB", (8, 8), colour).quantize(4).save(folder / "clear.png", transparency=b"\0\1")
    Image.new("RGBA", (8, 8), (*colour, 0)).save(folder / "alpha.png")
    Image.new("LA", (8, 8), (9, 0)).save(folder / "grey-alpha.png")
    Image.new("1", (8, 8), 1).save(folder / "bits.png")
    Image.new("RGB", (1, 1), colour).save(folder / "pixel.png")
    assert told(here, "kinds", "--preprocess", "unit") == ""
    assert samples(here) == 8


def test_a_jpeg_that_ends_early_and_an_empty_one(here):
    Image.effect_noise((64, 64), 50).convert("RGB").save(here / "imgs" / "whole.jpg")
    content = (here / "imgs" / "whole.jpg").read_bytes()
    (here / "imgs" / "cut.jpg").write_bytes(content[: len(content) // 2])
    (here / "imgs" / "empty.jpg").touch()
    first, second = told(here, "imgs").splitlines()
    assert "'imgs/cut.jpg' was left out: image file is truncated" in first
    assert "'imgs/empty.jpg' was left out: it is empty" in second
    assert samples(here) == 4


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (
            ("random", "--shape", "x:1x3"),
            "OQ403",
            "not an input of the model; leave it out: there is none",
        ),
        (("imgs",), "OQ404", "one image input, not one without inputs; give another model"),
        (("arrays",), "OQ403", "which is not an input; leave it out: there is none"),
        (("loader.py",), "OQ403", "has 1 tensor, and the model has 0 inputs; give"),
    ],
)
def test_messages_on_a_model_without_inputs_have_no_holes(arrays, options, code, words):
    text = """
    g () => (float[1,4] y) <float[4,4] w> {
        x = RandomUniform <shape = [1, 4]> ()
        y = MatMul (x, w)
    }
    """
    onnx.save(from_text(text), arrays / "model.onnx")
    (arrays / "loader.py").write_text("import numpy\nload_data = [numpy.ones((1, 4))]\n")
    outcome = arrays.run(*CALIBRATE, *options, "-o", "new.npz")
    assert outcome.returncode == 2, outcome.stdout + outcome.stderr
    assert f"error[{code}]" in outcome.stderr
    assert words in outcome.stderr


def test_arrays_that_are_held_whole_are_told(here):
    """Half a gigabyte of zeros, column by column, of which two samples are read."""
    text = "g (float[1,1048576] x) => (float[1,2] y) <float[1048576,2] w> { y = MatMul (x, w) }"
    onnx.save(from_text(text), here / "model.onnx")
    large = np.zeros((129, 1 << 20), np.float32, order="F")
    np.savez_compressed(here / "d.npz", x=large)
    told = result(succeeded(here.run(*CALIBRATE, "d.npz", "--samples", "2", "--json")))
    (found,) = [d for d in told["diagnostics"] if d["code"] == "OQ439"]
    assert found["severity"] == "warning"
    assert found["message"] == "'d.npz' is held in memory whole, 516 MiB"


def test_a_single_array_among_pictures_is_left_out(here):
    np.save(here / "imgs" / "labels.npy", np.zeros(3))
    told = succeeded(here.run("calibrate", "model.onnx", "--data", "imgs"))
    assert "warning[OQ438]: 'imgs/labels.npy' is not used as data" in told.stderr
    np.save(here / "imgs" / "more.npy", np.zeros(3))
    assert "2 files of arrays" in here.refuses("OQ401", "calibrate", "model.onnx", "--data", "imgs")


def test_a_single_picture_among_arrays_is_left_out(here):
    folder = here / "arrays"
    folder.mkdir()
    (folder / "thumbnail.png").write_bytes((here / "imgs" / "0.png").read_bytes())
    for index in range(2):
        np.save(folder / f"{index}.npy", np.zeros((1, 3, 16, 16), np.float32))
    told = succeeded(here.run("calibrate", "model.onnx", "--data", "arrays"))
    assert "thumbnail.png' is not used as data" in told.stderr
