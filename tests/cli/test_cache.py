"""`onnxq cache`: TensorRT calibration caches out of and into calibrations."""

import struct

import numpy as np
import onnx
import pytest

from onnxq.calibration.statistics import Statistics
from tests.command import result, succeeded
from tests.onnx_text import model as from_text

from .conftest import MODEL, Workplace

RULES = """\
schema: 1
descriptors:
  act: {method: percentile, percentile: 99.9}
  weight: {granularity: per_channel, calibrator: max}
rules:
  - {id: convs, why: t, match: {op: Conv}, quantize: {inputs: act, weights: weight}}
"""
EXPORT = ("cache", "export", "model.calib.npz")
IMPORT = ("cache", "import", "calib.cache", "--model", "model.onnx")


@pytest.fixture
def exported(here):
    """The prepared folder with a recipe that needs histograms, and a cache made with it."""
    (here / "p.yaml").write_text(RULES)
    succeeded(here.run(*EXPORT, "--rules", "p.yaml", "-o", "calib.cache"))
    return here


@pytest.fixture
def moved(exported):
    """The same where only the cache is left."""
    (exported / "model.calib.npz").unlink()
    return exported


def without_metadata(path):
    """A Q/DQ model without the digests of what it was made from."""
    model = onnx.load(path)
    del model.metadata_props[:]
    return model.SerializeToString()


def test_a_model_from_the_cache_is_the_model_from_the_data(exported):
    succeeded(exported.run("insert", "--rules", "p.yaml", "-o", "data.onnx"))
    (exported / "model.calib.npz").unlink()
    told = succeeded(exported.run(*IMPORT))
    assert "model.calib.npz: 2 ranges from calib.cache (TRT-100300-Entropy" in told.stdout
    assert told.stderr == ""
    told = succeeded(exported.run("insert", "--rules", "p.yaml", "-o", "cache.onnx"))
    assert "imported TensorRT cache: methods of the recipe do not change them" in told.stdout
    assert without_metadata(exported / "cache.onnx") == without_metadata(exported / "data.onnx")


def test_every_method_takes_an_imported_range(moved):
    succeeded(moved.run(*IMPORT))
    made = set()
    for method in ("max", "percentile", "mse", "entropy"):
        recipe = RULES.replace("{method: percentile, percentile: 99.9}", f"{{method: {method}}}")
        (moved / "m.yaml").write_text(recipe)
        succeeded(moved.run("insert", "--rules", "m.yaml", "-o", "m.onnx"))
        made.add(without_metadata(moved / "m.onnx"))
    assert len(made) == 1


def test_export_by_a_method_writes_every_observed_tensor(here):
    told = result(succeeded(here.run(*EXPORT, "--method", "max", "--json")))
    lines = (here / "model.calib.cache").read_text().splitlines()
    assert lines[0] == told["header"] == "TRT-100300-EntropyCalibration2"
    assert [line.split(": ")[0] for line in lines[1:]] == ["x", "b"] == list(told["scales"])
    seen = Statistics.load(here / "model.calib.npz").tensors["x"].range
    assert told["scales"]["x"] == float(np.float32(seen.amax) / np.float32(127))
    assert lines[1] == f"x: {struct.pack('>f', told['scales']['x']).hex()}"


@pytest.mark.parametrize(("value", "code"), [(np.inf, "OQ415"), (0, "OQ414")])
def test_export_by_a_method_tells_of_odd_ranges(here, value, code):
    np.save(here / "odd.npy", np.full((1, 3, 16, 16), value, np.float32))
    succeeded(here.run("calibrate", "model.onnx", "--data", "odd.npy"))
    told = succeeded(here.run(*EXPORT, "--method", "max")).stderr
    assert told.startswith(f"warning[{code}]: 'x' ha")


def test_export_for_another_version(here):
    succeeded(here.run(*EXPORT, "--tensorrt", "8.6.1", "--method", "entropy", "-o", "c"))
    assert (here / "c").read_text().startswith("TRT-8601-EntropyCalibration2\nx: ")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--tensorrt", "11.0"), "OQ456"),
        (("--method", "percentil"), "OQ456"),
        (("--method", "percentile(101)"), "OQ456"),
        (("--method", "max", "--rules", "yolo"), "OQ217"),
        (("--model", "other.onnx"), "OQ411"),
        (("--model", "none.onnx"), "OQ301"),
        (("-o", "model.onnx"), "OQ502"),
        (("-o", "model.calib.npz"), "OQ502"),
        (("-o", "no/where"), "OQ501"),
    ],
)
def test_export_refuses(here, arguments, code):
    onnx.save(from_text(MODEL, seed=1), here / "other.onnx")
    here.refuses(code, *EXPORT, *arguments)


def test_export_of_two_scales_for_one_tensor(here):
    text = MODEL.replace(
        "[active] b = Relu (a)", "[active] b = Relu (a)\n    [more] c = Add (b, b)"
    )
    onnx.save(from_text(text.replace("(b, v)", "(c, v)")), here / "model.onnx")
    (here / "two.yaml").write_text(
        RULES
        + "  - {id: relus, why: t, match: {op: Relu}, quantize: {inputs: act}}\n"
        + "  - {id: a, why: t, match: {op: Add}, quantize: {'input[0]': {method: max}}}\n"
        + "  - {id: b, why: t, match: {op: Add}, quantize: {'input[1]': {method: mse}}}\n"
    )
    succeeded(here.run("calibrate", "model.onnx", "--data", "imgs", "--rules", "two.yaml"))
    assert "'b'" in here.refuses("OQ455", *EXPORT, "--rules", "two.yaml")


def test_names_that_do_not_match_are_listed(moved):
    lines = (moved / "calib.cache").read_text().splitlines()
    strange = "(Unnamed Layer* 1) [Scale]_output"
    (moved / "calib.cache").write_text("\n".join([lines[0], lines[1], f"{strange}: 3d6969df"]))
    told = succeeded(moved.run(*IMPORT))
    first, second = told.stderr.splitlines()
    assert first.startswith("warning[OQ452]")
    assert strange in first
    assert second.startswith("warning[OQ453]")
    assert "(1): 'b'" in second
    told = result(succeeded(moved.run(*IMPORT, "--json")))
    assert told["not_in_the_model"] == [strange]
    assert told["not_in_the_cache"] == ["b"]
    assert "skip it in the recipe" in moved.refuses("OQ413", "insert", "--rules", "p.yaml")


def test_a_long_list_of_names_is_cut_in_text_alone(moved):
    with (moved / "calib.cache").open("a") as file:
        file.writelines(f"(Unnamed Layer* {i}) [Scale]_output: 3d6969df\n" for i in range(40))
    told = succeeded(moved.run(*IMPORT)).stderr
    assert "(40): " in told
    assert "and 28 more (--json has all)" in told
    assert len(result(succeeded(moved.run(*IMPORT, "--json")))["not_in_the_model"]) == 40


@pytest.mark.parametrize("bits", ["00000000", "bf800000", "7f800000", "7fc00000"])
def test_bad_scales_are_refused_with_tensor_and_line(exported, bits):
    with (exported / "calib.cache").open("a") as file:
        file.write(f"/head/conv: {bits}\n")
    told = exported.refuses("OQ451", *IMPORT, lines=3)
    assert told.startswith("calib.cache:4:1: error[OQ451]: the scale of '/head/conv' is ")


def test_other_files_as_cache(exported):
    for name in ("model.onnx", "imgs", "imgs/0.png", "missing", "model.calib.npz"):
        exported.refuses("OQ450", "cache", "import", name, "--model", "model.onnx")


def test_cache_of_another_model(exported):
    text = MODEL.replace(" x)", " in)").replace("(x,", "(in,").replace("b =", "c =")
    onnx.save(from_text(text.replace("(b,", "(c,")), exported / "other.onnx")
    exported.refuses("OQ454", "cache", "import", "calib.cache", "--model", "other.onnx")


def test_an_imported_calibration_of_another_model(moved):
    succeeded(moved.run(*IMPORT))
    onnx.save(from_text(MODEL, seed=1), moved / "other.onnx")
    told = moved.refuses("OQ411", "insert", "other.onnx", "--rules", "p.yaml")
    assert "onnxq cache import CACHE --model other.onnx" in told


def test_outputs_over_inputs(exported):
    for name in ("calib.cache", "model.onnx"):
        exported.refuses("OQ502", *IMPORT, "-o", name)


def test_quiet(moved):
    for command in (IMPORT, (*EXPORT, "--method", "max")):
        outcome = succeeded(moved.run(*command, "--quiet"))
        assert (outcome.stdout, outcome.stderr) == ("", "")


def test_dynamic_shapes_are_given(exported):
    onnx.save(from_text(MODEL.replace("1,3,16,16", "N,3,H,W")), exported / "dynamic.onnx")
    command = ("cache", "import", "calib.cache", "--model", "dynamic.onnx")
    succeeded(exported.run(*command, "--shape", "x:1x3x16x16"))
    succeeded(exported.run("insert", "dynamic.onnx", "--rules", "p.yaml"))
    exported.refuses("OQ405", *command, "--shape", "x:1x3xH")


def test_a_calibration_of_ranges_exports_by_max_alone(here: Workplace):
    succeeded(here.run("calibrate", "model.onnx", "--data", "imgs", "--calibrator", "max"))
    succeeded(here.run(*EXPORT, "--rules", "rules.yaml"))
    here.refuses("OQ416", *EXPORT, "--method", "entropy")
