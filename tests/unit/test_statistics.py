"""Statistics: the file, its damage, its digest, and what cannot be added."""

import dataclasses
import os
import re
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from onnxq.calibration.histogram import BitHistogram, ValueRange
from onnxq.calibration.methods import ImportedAmax
from onnxq.calibration.statistics import (
    NO_DATA,
    Statistics,
    TensorStatistics,
    add_digests,
    short_digests,
)
from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import OnnxqError, warning
from onnxq.feeds.samples import sample_digest
from tests.sealed import arrays_of, of_arrays


def tensor(seed, samples=2, histogram=True):
    x = np.random.default_rng(seed).standard_normal(1000).astype(np.float32)
    x[:2] = np.nan, np.inf
    return TensorStatistics(
        values=BitHistogram.of(x) if histogram else ValueRange.of(x), samples=samples
    )


def statistics(**fields):
    defaults = {
        "model_path": Path("net.onnx"),
        "model_digest": "ab" * 32,
        "calibrator": "histogram",
        "data_digest": sample_digest({"x": np.arange(3)}),
        "samples": 2,
        "preprocess": "yolo",
        "data": "random, seed 0",
        "input_shapes": {"images": (1, 3, 64, 64), "b": ()},
        "sample_digests": short_digests(["cd" * 32, "ab" * 32]),
        "tensors": {"z/out": tensor(1), "a": tensor(2), "range only": tensor(3, histogram=False)},
    }
    return Statistics(**{**defaults, **fields})


def code_of(caught):
    return caught.value.diagnostics[0].code


def test_saved_and_loaded_is_the_same(tmp_path):
    original = statistics()
    original.save(tmp_path / "c.npz")
    loaded = Statistics.load(tmp_path / "c.npz")
    assert loaded.digest == original.digest
    for field in (
        "model_digest",
        "calibrator",
        "data_digest",
        "samples",
        "sample_digests",
    ):
        assert getattr(loaded, field) == getattr(original, field)
    assert (loaded.preprocess, loaded.data) == (original.preprocess, original.data)
    assert loaded.input_shapes == original.input_shapes
    assert set(loaded.tensors) == set(original.tensors)
    for name, ours in original.tensors.items():
        theirs = loaded.tensors[name]
        assert (theirs.range, theirs.samples) == (ours.range, ours.samples)
        if ours.histogram is None:
            assert theirs.histogram is None
            continue
        np.testing.assert_array_equal(theirs.histogram.bins, ours.histogram.bins)
        np.testing.assert_array_equal(theirs.histogram.counts, ours.histogram.counts)
        for method in ("max", "percentile", "mse", "entropy"):
            descriptor = QuantDescriptor(method=method)
            assert theirs.amax(descriptor, tensor=name) == ours.amax(descriptor, tensor=name) > 0


def test_samples_are_known_again_after_adding():
    one, other = (statistics(sample_digests=short_digests(d)) for d in (["f" * 64], ["0" * 64]))
    assert (one + other).sample_digests == ("0" * 16, "f" * 16) == (other + one).sample_digests
    assert (one + other).digest == (other + one).digest != (one + one).digest


def test_an_empty_calibration_is_kept(tmp_path):
    empty = Statistics(model_digest="d", calibrator="max")
    empty.save(tmp_path / "c.npz")
    assert Statistics.load(tmp_path / "c.npz").digest == empty.digest


def test_equal_content_gives_equal_bytes_whatever_the_order(tmp_path):
    original = statistics()
    turned = statistics(
        tensors=dict(reversed(original.tensors.items())),
        input_shapes=dict(reversed(original.input_shapes.items())),
    )
    original.save(tmp_path / "a.npz")
    turned.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    dates = {entry.date_time for entry in zipfile.ZipFile(tmp_path / "a.npz").infolist()}
    assert dates == {(1980, 1, 1, 0, 0, 0)}  # not the clock's


@pytest.mark.parametrize(
    "change",
    [
        {"model_digest": "cd" * 32},
        {"calibrator": "max"},
        {"data_digest": NO_DATA},
        {"samples": 3},
        {"preprocess": ""},
        {"input_shapes": {}},
        {"tensors": {"a": tensor(2)}},
        {"tensors": {"z/out": tensor(1), "a": tensor(9), "range only": tensor(3, histogram=False)}},
    ],
)
def test_the_digest_depends_on_the_content(change):
    assert statistics().digest == statistics().digest
    assert dataclasses.replace(statistics(), **change).digest != statistics().digest


def test_the_digest_does_not_depend_on_where_the_model_lies():
    elsewhere = dataclasses.replace(statistics(), model_path=Path("../b.onnx"))
    assert elsewhere.digest == statistics().digest


def test_saving_replaces_the_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(b"old")
    statistics().save(path)
    assert Statistics.load(path).samples == 2
    assert os.listdir(tmp_path) == ["c.npz"]


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "c.npz"
    path.mkdir()  # cannot be replaced by a file
    (path / "inside").write_text("kept")
    with pytest.raises(OnnxqError) as caught:
        statistics().save(path)
    assert code_of(caught) == "OQ501"
    assert os.listdir(tmp_path) == ["c.npz"]
    assert (path / "inside").read_text() == "kept"


def test_an_open_reader_keeps_the_old_file(tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        statistics().save(path)
        assert reader.read() == b"old"


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OnnxqError) as caught:
            statistics().save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code_of(caught) == "OQ501"
    assert os.listdir(tmp_path) == ["c.npz"]
    assert path.read_bytes() == b"old"


def test_saving_into_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(OnnxqError, match="does not exist") as caught:
        statistics().save(tmp_path / "missing" / "c.npz")
    assert code_of(caught) == "OQ501"


def test_loading_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(OnnxqError) as caught:
        Statistics.load(tmp_path / "missing.npz")
    assert code_of(caught) == "OQ410"


def rewritten(path, **changes):
    """Write a calibration with changed arrays, or changed keys of its JSON."""
    statistics(tensors={"a": tensor(2), "r": tensor(3, histogram=False)}).save(path)
    arrays, meta = arrays_of(path)
    for key, change in changes.items():
        changed = arrays if key in arrays else meta
        changed[key] = change(changed.get(key))
    path.write_bytes(of_arrays(arrays, meta))


def test_the_rewriting_itself_does_no_harm(tmp_path):
    rewritten(tmp_path / "c.npz")
    expected = statistics(tensors={"a": tensor(2), "r": tensor(3, histogram=False)})
    assert Statistics.load(tmp_path / "c.npz").digest == expected.digest


def changed_tensor(index, **fields):
    return lambda tensors: [{**t, **fields} if i == index else t for i, t in enumerate(tensors)]


@pytest.mark.parametrize(
    "changes",
    [
        {"mantissa_bits": lambda bits: bits + 1},
        {"counts": lambda counts: counts + 1},
        {"counts": lambda counts: counts[:-1]},
        {"counts": lambda counts: -counts},
        {"gaps": lambda gaps: -gaps},
        {"gaps": lambda gaps: np.append(gaps[:-1], np.int32(2**30))},
        {"gaps": lambda gaps: gaps.astype(np.int64)},
        {"gaps": lambda gaps: gaps.reshape(1, -1)},
        {"offsets": lambda offsets: offsets[:-1]},
        {"offsets": lambda offsets: offsets[:0]},
        {"offsets": lambda offsets: offsets - 1},
        {"offsets": lambda offsets: np.append(offsets[:-1], 10)},
        {"tensors": lambda tensors: tensors * 2},
        {"tensors": lambda tensors: [tensors[0], {**tensors[1], "name": "a"}]},
        {"tensors": changed_tensor(0, count="many")},
        {"tensors": changed_tensor(0, samples=-1)},
        {"tensors": changed_tensor(0, kind="guess")},
        {"tensors": changed_tensor(0, more=1)},
        {"tensors": changed_tensor(1, minimum="0x1p+3", maximum="-0x1p+3")},
        {"tensors": changed_tensor(1, nan=10**6)},
        {"tensors": changed_tensor(1, maximum="large")},
        {"samples": lambda _: 1.5},
        {"samples": lambda _: None},
        {"calibrator": lambda _: "entropy"},
        {"data_digest": lambda _: "xyz"},
        {"preprocess": lambda _: {}},
        {"input_shapes": lambda _: {"x": [-1]}},
        {"more": lambda _: 1},
    ],
)
def test_inconsistent_content_is_refused_even_with_a_checksum_that_fits(tmp_path, changes):
    rewritten(tmp_path / "c.npz", **changes)
    with pytest.raises(OnnxqError) as caught:
        Statistics.load(tmp_path / "c.npz")
    assert code_of(caught) == "OQ412"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"model_digest": "cd" * 32},
        {"calibrator": "max"},
        {"preprocess": "resnet"},
    ],
)
def test_what_does_not_belong_together_is_not_added(change):
    with pytest.raises(OnnxqError, match=re.escape("[OQ418]")):
        statistics() + dataclasses.replace(statistics(), **change)


def test_of_the_shapes_that_were_fed_the_largest_are_kept():
    a = statistics(input_shapes={"x": (1, 3, 64, 32), "y": (4,)})
    b = statistics(input_shapes={"x": (2, 3, 32, 48), "z": ()})
    assert (a + b).input_shapes == {"x": (2, 3, 64, 48), "y": (4,), "z": ()}


def test_adding_counts_samples_and_keeps_tensors_of_either():
    a = statistics(tensors={"a": tensor(1), "both": tensor(2)})
    b = statistics(tensors={"b": tensor(3, samples=5), "both": tensor(4, samples=5)}, samples=5)
    total = a + b
    assert total.samples == 7
    assert {name: t.samples for name, t in total.tensors.items()} == {"a": 2, "b": 5, "both": 7}
    assert total.tensors["both"].range.count == 2000
    assert total.data_digest == add_digests(a.data_digest, b.data_digest) != a.data_digest


def test_a_sum_has_a_histogram_only_when_both_have_one():
    assert (tensor(1) + tensor(2)).histogram is not None
    mixed = tensor(1) + tensor(2, histogram=False)
    assert mixed.histogram is None
    assert mixed.range == tensor(1).range + tensor(2).range


def test_a_sample_digest_depends_on_name_type_shape_and_values():
    x = np.arange(6, dtype=np.float32)
    samples = [{"x": x}, {"y": x}, {"x": x.reshape(2, 3)}, {"x": x.view(np.int32)}, {"x": x + 1}]
    assert len({sample_digest(s) for s in samples}) == len(samples)
    assert sample_digest({"a": x, "b": x[:2]}) == sample_digest({"b": x[:2], "a": x})
    assert sample_digest({"x": x[::2]}) == sample_digest({"x": x[::2].copy()})
    assert re.fullmatch("[0-9a-f]{64}", sample_digest({}))


def test_digests_add_modulo_two_to_the_256():
    assert add_digests("f" * 64, f"{1:064x}") == NO_DATA
    assert add_digests() == NO_DATA


def imported(**amaxes):
    tensors = {
        name: TensorStatistics(values=ImportedAmax(amax=amax), samples=0)
        for name, amax in amaxes.items()
    }
    return statistics(calibrator="cache", samples=0, tensors=tensors)


def test_imported_amaxes_are_kept_whatever_the_method(tmp_path):
    original = imported(a=127 * float(np.float32(0.1)), b=1e-30)
    original.save(tmp_path / "c.npz")
    kept = Statistics.load(tmp_path / "c.npz")
    assert kept.digest == original.digest
    for method in ("max", "percentile", "mse", "entropy"):
        descriptor = QuantDescriptor(method=method)
        for name, tensor in original.tensors.items():
            assert kept.tensors[name].amax(descriptor, tensor=name) == tensor.values.amax
    assert kept.tensors["a"].range == ValueRange()


def test_imported_amaxes_add_to_the_larger_and_to_nothing_else():
    parts = imported(a=1.0, b=3.0).tensors
    for total in (parts["a"] + parts["b"], parts["b"] + parts["a"]):
        assert total.values == ImportedAmax(amax=3.0)
    for one, other in ((parts["a"], tensor(1)), (tensor(1, histogram=False), parts["a"])):
        with pytest.raises(ValueError, match="do not add"):
            one + other


def in_file(path):
    """What a file says of where the model is."""
    return arrays_of(path)[1]["model_name"]


def test_the_file_names_the_model_from_its_own_folder(tmp_path, monkeypatch):
    (tmp_path / "out" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    original = statistics(model_path=Path("nets/net.onnx"))
    original.save("c.npz")
    original.save("out/deep/c.npz")
    assert in_file("c.npz") == "nets/net.onnx"
    assert in_file("out/deep/c.npz") == "../../nets/net.onnx"
    for file in ("c.npz", "out/deep/c.npz"):
        assert Statistics.load(file).model_path == Path("nets/net.onnx")
    monkeypatch.chdir("out")
    assert Statistics.load("deep/c.npz").model_path == Path("../nets/net.onnx")
    absolute = Statistics.load(tmp_path / "c.npz")
    assert absolute.model_path == tmp_path / "nets" / "net.onnx"
    absolute.save("again.npz")
    assert in_file("again.npz") == "../nets/net.onnx"


def test_behind_a_link_to_a_folder_the_model_is_found(tmp_path):
    (tmp_path / "far" / "out").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "out")
    (tmp_path / "far" / "net.onnx").write_text("")
    (tmp_path / "net.onnx").symlink_to("far/net.onnx")
    statistics(model_path=tmp_path / "far" / "net.onnx").save(tmp_path / "link" / "c.npz")
    assert in_file(tmp_path / "link" / "c.npz") == "../net.onnx"
    found = Statistics.load(tmp_path / "link" / "c.npz").model_path
    assert found.samefile(tmp_path / "far" / "net.onnx")
    statistics(model_path=tmp_path / "net.onnx").save(tmp_path / "c.npz")
    assert in_file(tmp_path / "c.npz") == "net.onnx"  # the name that the user knows


def test_a_model_without_a_file(tmp_path):
    original = statistics(model_path=None)
    original.save(tmp_path / "c.npz")
    assert in_file(tmp_path / "c.npz") == ""
    assert Statistics.load(tmp_path / "c.npz").model_path is None
    named = statistics(model_path=Path("b.onnx"))
    assert (original + named).model_path == (named + original).model_path == Path("b.onnx")
    other = statistics(model_path=Path("a.onnx"))
    assert (other + named).model_path == (named + other).model_path == Path("a.onnx")
    with pytest.raises(OnnxqError, match="two calibrations of a model cannot be added"):
        original + statistics(model_path=None, model_digest="cd" * 32)


def test_what_a_calibration_reports_is_not_in_its_file(tmp_path):
    notes = [warning("OQ427", f"told {number}", fix="do it") for number in range(2)]
    first, second = (statistics(diagnostics=(note,)) for note in notes)
    assert first.digest == second.digest == statistics().digest
    first.save(tmp_path / "a.npz")
    second.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert Statistics.load(tmp_path / "a.npz").diagnostics == ()
    assert (first + second).diagnostics == tuple(notes)


def test_tensors_by_name():
    original = statistics()
    assert original["a"] is original.tensors["a"]
    assert list(original) == list(original.tensors)
    assert "a" in original
    assert "b" not in original
    with pytest.raises(OnnxqError, match="did you mean 'z/out'") as caught:
        original["z/outs"]
    assert code_of(caught) == "OQ443"
    assert isinstance(caught.value, KeyError)
    assert str(caught.value).startswith("error[OQ443]: the calibration observed no tensor")
    with pytest.raises(KeyError):
        original["nothing like it"]
