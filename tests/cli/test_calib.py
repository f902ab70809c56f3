"""`onnxq calib`: files that are joined, and files that are shown."""

import functools
import os
import re
import shutil

import numpy as np
import onnx
import pytest

from onnxq.calibration.histogram import BitHistogram
from onnxq.calibration.statistics import Statistics, TensorStatistics
from tests.command import onnxq as onnxq_anew
from tests.command import result, succeeded
from tests.onnx_text import model as from_text

from .conftest import MODEL
from .forked import onnxq

MERGE = ("calib", "merge")
LONG = "/model.22/cv3.1/cv3.1.0/very/long/scope/of/a/module/number.{}/conv/Conv_output_0"


def calibrate(here, data, output, *more, model="model.onnx"):
    succeeded(here.run("calibrate", model, "--data", data, "-o", output, *more))


@pytest.fixture
def parts(here):
    """Three calibrations of a picture each, in two folders."""
    (here / "sub").mkdir()
    for index, name in enumerate(("a.npz", "sub/b.npz", "c.npz")):
        (here / f"{index}").mkdir()
        shutil.copy(here / "imgs" / f"{index}.png", here / f"{index}")
        calibrate(here, f"{index}", name)
    return here


@pytest.mark.parametrize("order", [("a", "sub/b", "c"), ("c", "a", "sub/b"), ("sub/b", "c", "a")])
def test_merged_is_one_run_bit_for_bit(parts, order):
    told = succeeded(parts.run(*MERGE, *(f"{n}.npz" for n in order), "-o", "all.npz"))
    assert "all.npz: 2 tensors, 3 samples" in told.stdout
    assert told.stderr == ""
    assert (parts / "all.npz").read_bytes() == (parts / "model.calib.npz").read_bytes()


def test_merging_in_steps_is_one_run_too(parts):
    succeeded(parts.run(*MERGE, "a.npz", "c.npz", "-o", "sub/ac.npz"))
    succeeded(parts.run(*MERGE, "sub/ac.npz", "sub/b.npz", "-o", "all.npz", "--quiet"))
    assert (parts / "all.npz").read_bytes() == (parts / "model.calib.npz").read_bytes()
    succeeded(parts.run("insert", "--rules", "rules.yaml", "--calibration", "all.npz"))


def test_one_file_is_itself(here):
    succeeded(here.run(*MERGE, "model.calib.npz", "-o", "same.npz"))
    assert (here / "same.npz").read_bytes() == (here / "model.calib.npz").read_bytes()


def test_merge_in_json(parts):
    told = result(succeeded(parts.run(*MERGE, "a.npz", "c.npz", "-o", "all.npz", "--json")))
    assert (told["samples"], told["diagnostics"]) == (2, [])
    assert told["digest"] == Statistics.load(parts / "all.npz").digest


def test_data_is_never_counted_twice(parts):
    shutil.copy(parts / "a.npz", parts / "copy.npz")
    succeeded(parts.run(*MERGE, "a.npz", "c.npz", "-o", "ac.npz"))
    for files, told in (
        (("a.npz", "c.npz", "a.npz"), "'a.npz' is given twice"),
        (("a.npz", "c.npz", "copy.npz"), "'a.npz' and 'copy.npz' hold the same data"),
        (("a.npz", "ac.npz", "c.npz"), "'ac.npz' holds the data of all the others together"),
    ):
        assert told in parts.refuses("OQ441", *MERGE, *files, "-o", "all.npz")
    (parts / "link.npz").symlink_to("a.npz")
    parts.refuses("OQ441", *MERGE, "a.npz", "link.npz", "-o", "all.npz")


def test_samples_that_are_in_two_files_are_told(parts):
    calibrate(parts, "imgs", "odd.npz", "--shard", "1/2")
    told = succeeded(parts.run(*MERGE, "a.npz", "odd.npz", "-o", "all.npz")).stderr
    assert told.startswith("warning[OQ441]: 1 of 2 samples of 'odd.npz' are in 'a.npz' too; ")


def test_what_does_not_add(parts):
    onnx.save(from_text(MODEL, seed=1), parts / "other.onnx")
    calibrate(parts, "1", "other.npz", model="other.onnx")
    calibrate(parts, "1", "unit.npz", "--preprocess", "imagenet")
    calibrate(parts, "1", "max.npz", "--calibrator", "max")
    for name, what in (("other", "models"), ("unit", "preprocessing"), ("max", "calibrators")):
        told = parts.refuses("OQ418", *MERGE, "a.npz", f"{name}.npz", "-o", "all.npz")
        assert f"'a.npz' and '{name}.npz' do not add: they have different {what}" in told
    (parts / "calib.cache").write_text("TRT-8601-EntropyCalibration2\nx: 3c010204\n")
    succeeded(
        parts.run("cache", "import", "calib.cache", "--model", "model.onnx", "-o", "cache.npz")
    )
    assert "no counts" in parts.refuses("OQ418", *MERGE, "cache.npz", "a.npz", "-o", "all.npz")


def test_tensors_of_some_files_alone_are_told(parts):
    text = (parts / "rules.yaml").read_text().replace("op: Conv", "name: first")
    (parts / "first.yaml").write_text(text)
    calibrate(parts, "1", "first.npz", "--rules", "first.yaml")
    told = succeeded(parts.run(*MERGE, "a.npz", "first.npz", "-o", "all.npz")).stderr
    assert told.startswith("warning[OQ442]: 1 tensors were not observed in all of the files: 'b'")


def test_infinite_values_of_all_parts_are_one_line(here):
    (here / "arrays").mkdir()
    for index in range(3):
        array = np.full((1, 3, 16, 16), np.inf, np.float32)
        array[0, 0, 0, 0] = index
        np.save(here / "arrays" / f"{index}.npy", array)
    for part in "12":
        calibrate(here, "arrays", f"{part}.npz", "--shard", f"{part}/2")
    (told,) = succeeded(here.run(*MERGE, "1.npz", "2.npz", "-o", "all.npz")).stderr.splitlines()
    assert told.startswith("warning[OQ425]: the input 'x' has 2,301 infinite values; ")


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (("a.npz", "missing.npz"), "OQ410"),
        (("a.npz", "model.onnx"), "OQ412"),
        (("a.npz", "imgs"), "OQ412"),
    ],
)
def test_merge_of_other_files(parts, files, code):
    parts.refuses(code, *MERGE, *files, "-o", "all.npz")


def test_merge_over_an_input(parts):
    parts.refuses("OQ502", *MERGE, "a.npz", "c.npz", "-o", "a.npz")
    parts.refuses("OQ501", *MERGE, "a.npz", "c.npz", "-o", "no/where.npz")


def save(path, count, **arrays):
    """A calibration of arrays, and of normal ones with long names up to a count."""
    rng = np.random.default_rng(0)
    normal = {LONG.format(i): rng.normal(size=2000) * 3.0**i for i in range(count)}
    Statistics(
        model_path=path.parent / "m.onnx", model_digest="d", calibrator="histogram", samples=1,
        input_shapes={"x": (1, 3, 8, 8)},
        tensors={
            name: TensorStatistics(values=BitHistogram.of(np.float32(x)), samples=1)
            for name, x in {**normal, **arrays}.items()
        },
    ).save(path)  # fmt: skip


TERMINAL = {"COLUMNS": "80", "TTY_COMPATIBLE": "1", "NO_COLOR": "1", "TERM": "xterm"}


def in_terminal(folder, *arguments, columns=80):
    """What a command prints in a terminal, without the colours."""
    prepare = functools.partial(be_in_terminal, columns)
    return lines_of(onnxq(*arguments, cwd=folder, prepare=prepare))


def be_in_terminal(columns):
    os.environ.update({**TERMINAL, "COLUMNS": str(columns)})


def lines_of(outcome):
    return re.sub(r"\x1b\[\d*m", "", succeeded(outcome).stdout).splitlines()


def test_the_table_fits_a_terminal(tmp_path):
    odd = np.append(np.random.default_rng(1).normal(size=99), [np.nan, np.inf, -np.inf])
    save(tmp_path / "c.npz", 6, odd=odd, zeros=np.zeros(9), empty=np.zeros(0))
    lines = in_terminal(tmp_path, "calib", "show", "c.npz")
    assert max(map(len, lines)) <= 80
    assert lines[0] == "c.npz: calibrator histogram, 9 tensors, 1 sample, 12k values"
    assert lines[1] == "model m.onnx, x 1x3x8x8"
    assert lines[5].split()[0] == "odd"  # what is wrong comes first
    assert "1 NaN, 2 Inf" in "".join(lines[5:7])
    rows = [line.split() for line in lines]
    assert ["zeros", "9", *["0.00"] * 5, "100%"] in rows
    assert ["empty", "0", "-", "-", *["0.00"] * 3, "-"] in rows
    folded = "".join(line[:21].strip() for line in lines)
    assert all(LONG.format(i) in folded for i in range(6))


@pytest.mark.parametrize("width", [24, 40, 60])
@pytest.mark.parametrize("options", [(), ("--tensor", "zeros", "--tensor", "wide")])
def test_a_narrow_terminal_breaks_no_figure(tmp_path, width, options):
    wide = np.random.default_rng(1).normal(size=999) * 1234
    save(tmp_path / "c.npz", 2, zeros=np.zeros(9), wide=wide)
    command = ("calib", "show", "c.npz", *options)
    lines = in_terminal(tmp_path, *command, columns=width)
    told = " ".join(lines)
    (left_out,) = [line for line in lines if "not shown for lack of room" in line] or [""]
    tables = [line for line in lines if line.startswith(" ")]
    assert max(map(len, tables)) <= width
    (seen,) = (t for t in result(onnxq(*command, "--json", cwd=tmp_path))["tensors"]
               if t["name"] == "wide")  # fmt: skip
    form = "#.3g" if not options else ".4g"
    for method, amax in seen["amax"].items():
        figure = f"{amax:{form}}".rstrip(".")
        assert figure in told.split() or method in left_out


def test_a_tensor_of_which_nothing_was_seen(tmp_path):
    save(tmp_path / "c.npz", 0, none=np.zeros(0), zeros=np.zeros(3))
    for name, told in (("none", "no finite value was seen"), ("zeros", "nothing but zeros")):
        command = ("calib", "show", "c.npz", "--tensor", name)
        assert f"{told}: its scale" in succeeded(onnxq(*command, cwd=tmp_path)).stdout


def test_names_are_whole_where_no_terminal_is(tmp_path):
    save(tmp_path / "c.npz", 3)
    outcome = succeeded(onnxq("calib", "show", "c.npz", cwd=tmp_path))
    for i in range(3):
        (row,) = (line for line in outcome.stdout.splitlines() if LONG.format(i) in line)
        assert len(row.split()) == 9


def test_order_and_limit(tmp_path):
    x = np.random.default_rng(0).normal(size=100_000)
    save(tmp_path / "c.npz", 0, a=x, b=np.append(x, 90), c=np.append(x, 1000))
    shown = {}
    for options in ((), ("--sort", "name"), ("--limit", "1")):
        told = succeeded(onnxq("calib", "show", "c.npz", *options, cwd=tmp_path)).stdout
        rows = [line.split()[0] for line in told.splitlines() if line.endswith("% ")]
        shown[options] = "".join(rows)
    assert shown == {(): "cba", ("--sort", "name"): "abc", ("--limit", "1"): "c"}
    assert "2 more: the limit is 1" in told


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_histogram_fits_a_terminal(tmp_path, encoding):
    x = np.random.default_rng(0).normal(size=100_000)
    save(tmp_path / "c.npz", 0, **{"conv/out": np.append(x, [40, -60])})
    env = {**os.environ, **TERMINAL, "PYTHONIOENCODING": encoding}
    command = ("calib", "show", "c.npz", "--tensor", "conv/out")
    lines = lines_of(onnxq_anew(*command, cwd=tmp_path, env=env))
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert text.isascii() == (encoding == "ascii")
    mark = "^" if encoding == "ascii" else "▲"
    marked = [line for line in lines if mark in line]
    assert {m for m in ("max", "percentile", "mse", "entropy") if m in " ".join(marked)} == {
        "max", "percentile", "mse", "entropy",
    }  # fmt: skip
    assert "100,002 values in 1 sample, 0.0% zeros, min -60, max 40" in text
    assert "outliers begin at 3." in text
    assert "up to 16" in text
    (row,) = (line.split() for line in lines if line.startswith((" max", "|max")))
    assert "60" in row
    # Marks stand under the columns of their values: farther right the larger.
    columns = [line.index(mark) for line in marked]
    assert columns == sorted(columns)
    assert columns[-1] == max(len(line.rstrip()) for line in lines if line.startswith("      ")) - 1


ODD = {
    "zeros": np.zeros(10),
    "nothing": np.zeros(0),
    "nan": np.full(4, np.nan),
    "one": np.full(100, 6.0),
    "two": np.tile([1e-3, 100], 50),
    "tiny": np.full(7, 1e-38),
    "subnormal": np.array([1e-45, 3e-45, 0]),
    "huge": np.array([3.4e38, 1e-45, 1.0]),
    "wide": 10.0 ** np.linspace(-40, 38, 5000),
    "zero and outlier": np.append(np.zeros(10_000), 5),
}


@pytest.mark.parametrize("name", ODD)
def test_every_tensor_has_a_picture_or_a_reason(tmp_path, name):
    save(tmp_path / "c.npz", 0, **ODD)
    lines = in_terminal(tmp_path, "calib", "show", "c.npz", "--tensor", name)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert ("▲" in text) != ("its scale would be 1" in text)
    assert "nan" not in text.replace(name, "")
    told = result(
        succeeded(onnxq("calib", "show", "c.npz", "--tensor", name, "--json", cwd=tmp_path))
    )
    (tensor,) = told["tensors"]
    assert tensor["name"] == name
    assert sum(tensor["histogram"]["counts"]) == np.isfinite(ODD[name]).sum()


def test_show_in_json(here):
    told = result(succeeded(here.run("calib", "show", "--json", "--percentile", "99")))
    assert (told["calibrator"], told["samples"]) == ("histogram", 3)
    assert told["input_shapes"] == {"x": [1, 3, 16, 16]}
    tensors = {t["name"]: t for t in told["tensors"]}
    assert set(tensors) == {"x", "b"}
    assert set(tensors["x"]["amax"]) == {"max", "percentile", "mse", "entropy", "adaptive"}
    assert tensors["x"]["amax"]["max"] == tensors["x"]["max"] >= tensors["x"]["amax"]["percentile"]
    assert "histogram" not in tensors["x"]
    (chosen,) = result(succeeded(here.run("calib", "show", "--json", "--tensor", "b")))["tensors"]
    assert sum(chosen["histogram"]["counts"]) == chosen["values"]
    assert chosen["methods"]["max"]["clipped"] == 0


def test_globs_and_unknown_names(here):
    for pattern in ("?", "*", "x", "re:[xb]"):
        told = result(succeeded(here.run("calib", "show", "--json", "--tensor", pattern)))
        assert len(told["tensors"]) == (1 if pattern == "x" else 2)
    save(here / "long.npz", 3)
    told = here.refuses("OQ443", "calib", "show", "long.npz", "--tensor", LONG.format(9))
    assert "did you mean '/model.22/" in told
    here.refuses("OQ443", "calib", "show", "--tensor", "re:[")
    here.refuses("OQ443", "calib", "show", "--tensor", "x", "--percentile", "0")
    here.refuses("OQ410", "calib", "show", "none.npz")


def test_ranges_and_imported_ranges(here):
    calibrate(here, "imgs", "r.npz", "--calibrator", "max")
    told = succeeded(here.run("calib", "show", "r.npz")).stdout
    assert "calibrator max, 2 tensors" in told
    assert "percentile" not in told
    assert "only its range" in succeeded(here.run("calib", "show", "r.npz", "--tensor", "x")).stdout
    (here / "calib.cache").write_text("TRT-8601-EntropyCalibration2\nx: 3c010204\n")
    command = ("cache", "import", "calib.cache", "--model", "model.onnx", "-o", "i.npz")
    succeeded(here.run(*command))
    told = succeeded(here.run("calib", "show", "i.npz")).stdout
    assert "imported from a TensorRT cache, 1 tensor\n" in told
    assert ["x", "1.00"] in [line.split() for line in told.splitlines()]
    told = succeeded(here.run("calib", "show", "i.npz", "--tensor", "x")).stdout
    assert "amax 1.00, imported and final" in told
