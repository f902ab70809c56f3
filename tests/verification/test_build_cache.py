"""Builds that were done before are not done again."""

import os
import shutil

import onnx
import pytest

from onnxq.diagnostics import OnnxqError
from onnxq.verification import CompileOptions, build_cache, compile_report
from onnxq.verification.profiles import fixed

from .models import float_conv, quantized_conv, saved

# No build ends in this time: what gives a report comes from the cache.
AT_ONCE = CompileOptions(timeout=0.001)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def entries():
    return sorted(build_cache.folder().glob("*"))


def is_kept(path, options=AT_ONCE):
    try:
        compile_report(path, options)
    except OnnxqError as failed:
        if failed.diagnostics[0].code != "OQ661":
            raise
        return False
    return True


def test_the_second_report_is_the_first(folder):
    path = saved(quantized_conv(), folder)
    assert not is_kept(path)
    first = compile_report(path)
    assert compile_report(path, AT_ONCE) == first
    copy = shutil.copyfile(path, folder / "other.onnx")
    assert compile_report(copy, AT_ONCE) == first
    assert len(entries()) == 1


def test_other_models_shapes_and_targets_are_built(folder):
    path = saved(quantized_conv(shape=("n", 4, "h", "w")), folder)
    profiles = {"x": fixed((1, 4, 8, 8))}
    compile_report(path, CompileOptions(profiles=profiles))
    assert is_kept(path, CompileOptions(profiles=profiles, timeout=0.001))
    wider = {"x": fixed((1, 4, 8, 16))}
    assert not is_kept(path, CompileOptions(profiles=wider, timeout=0.001))
    targeted = CompileOptions(profiles=profiles, targets=((8, 9),), timeout=0.001)
    assert not is_kept(path, targeted)
    saved(float_conv(), folder)
    assert not is_kept(path)


def test_external_data_is_part_of_the_model(folder):
    model = quantized_conv()
    weights = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    path = folder / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="data", size_threshold=100)
    compile_report(path)
    assert is_kept(path)
    data = (folder / "data").read_bytes()
    assert len(data) >= len(weights.raw_data)
    (folder / "data").write_bytes(data[::-1])
    assert not is_kept(path)


def test_without_the_cache(folder):
    path = saved(quantized_conv(), folder)
    compile_report(path, CompileOptions(cache=False))
    assert not build_cache.folder().exists()
    compile_report(path)
    assert not is_kept(path, CompileOptions(cache=False, timeout=0.001))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no gzip",
        lambda data: data[:-20],
        lambda data: data[:100] + bytes([data[100] ^ 255]) + data[101:],
        lambda data: data[:-5] + bytes([data[-5] ^ 255]) + data[-4:],
    ],
)
def test_a_damaged_entry_is_built_anew(folder, damage):
    path = saved(quantized_conv(), folder)
    first = compile_report(path)
    (entry,) = entries()
    entry.write_bytes(damage(entry.read_bytes()))
    assert not is_kept(path)
    assert compile_report(path) == first
    assert is_kept(path)


def test_an_entry_of_another_build_is_not_taken(folder):
    path = saved(quantized_conv(), folder)
    compile_report(path)
    (entry,) = entries()
    compile_report(saved(float_conv(), folder))
    (other,) = set(entries()) - {entry}
    other.write_bytes(entry.read_bytes())
    assert not is_kept(path)


def test_a_folder_that_cannot_be_written_costs_time_alone(folder, monkeypatch):
    (folder / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "file"))
    assert compile_report(saved(quantized_conv(), folder)).int8 == 1


def test_what_was_used_longest_ago_goes_first(monkeypatch):
    names = [f"{index:064x}" for index in range(4)]
    filling = os.urandom(1000).hex()  # half of it is left when compressed
    for age, name in enumerate(names):
        build_cache.save(name, {"layers": filling + name})
        os.utime(build_cache.folder() / f"{name}.json.gz", (age, age))
    size = max(path.stat().st_size for path in entries())
    assert build_cache.load(names[0])["layers"] == filling + names[0]  # now the last one used
    monkeypatch.setattr(build_cache, "LIMIT", 3 * size)
    build_cache.save("f" * 64, {"layers": filling})
    kept = {path.name.partition(".")[0] for path in entries()}
    assert kept == {names[0], names[3], "f" * 64}
