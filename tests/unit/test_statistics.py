"""Statistics: the file, its damage, its digest, and what cannot be added."""

import dataclasses
import json
import os
import re
import resource
import zipfile

import numpy as np
import pytest

from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import OnnxqError
from onnxq.histogram import BitHistogram, ValueRange
from onnxq.samples import sample_digest
from onnxq.statistics import (
    NO_DATA,
    Statistics,
    TensorStatistics,
    add_digests,
)


def tensor(seed, samples=2, histogram=True):
    x = np.random.default_rng(seed).standard_normal(1000).astype(np.float32)
    x[:2] = np.nan, np.inf
    return TensorStatistics(
        values=BitHistogram.of(x) if histogram else ValueRange.of(x), samples=samples
    )


def statistics(**fields):
    defaults = {
        "model_name": "net.onnx",
        "model_digest": "ab" * 32,
        "calibrator": "histogram",
        "data_digest": sample_digest({"x": np.arange(3)}),
        "samples": 2,
        "preprocess": "yolo",
        "input_shapes": {"images": (1, 3, 64, 64), "b": ()},
        "tensors": {"z/out": tensor(1), "a": tensor(2), "range only": tensor(3, histogram=False)},
    }
    return Statistics(**{**defaults, **fields})


def digest_or_code(path):
    try:
        return Statistics.load(path).digest
    except OnnxqError as error:
        return error.diagnostics[0].code


def code_of(caught):
    return caught.value.diagnostics[0].code


def test_saved_and_loaded_is_the_same(tmp_path):
    original = statistics()
    original.save(tmp_path / "c.npz")
    loaded = Statistics.load(tmp_path / "c.npz")
    assert loaded.digest == original.digest
    for field in ("model_name", "model_digest", "calibrator", "data_digest", "samples"):
        assert getattr(loaded, field) == getattr(original, field)
    assert (loaded.preprocess, loaded.input_shapes) == (original.preprocess, original.input_shapes)
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


def test_an_empty_calibration_is_kept(tmp_path):
    empty = Statistics(model_name="n", model_digest="d", calibrator="max")
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
        {"model_name": "b.onnx"},
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
def test_the_digest_depends_on_everything(change):
    assert statistics().digest == statistics().digest
    assert dataclasses.replace(statistics(), **change).digest != statistics().digest


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
    with pytest.raises(OnnxqError, match="no such file") as caught:
        statistics().save(tmp_path / "missing" / "c.npz")
    assert code_of(caught) == "OQ501"


def test_loading_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(OnnxqError) as caught:
        Statistics.load(tmp_path / "missing.npz")
    assert code_of(caught) == "OQ410"


def npz_of_objects(path):
    np.savez(path, meta=np.array([{"a": 1}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a calibration"),
        lambda path: path.write_bytes(b"PK\x03\x04 cut short"),
        lambda path: path.mkdir(),
        lambda path: np.savez(path, weights=np.ones(3)),
        lambda path: np.savez(path, meta=np.frombuffer(b"[1]", np.uint8)),
        npz_of_objects,
    ],
)
def test_what_is_no_calibration_is_refused(tmp_path, write):
    write(tmp_path / "c.npz")
    with pytest.raises(OnnxqError) as caught:
        Statistics.load(tmp_path / "c.npz")
    assert code_of(caught) == "OQ412"
    assert "onnxq calibrate" in caught.value.diagnostics[0].fix


def test_every_cut_and_damaged_byte_is_noticed(tmp_path):
    """A damaged file either loads as what was saved (a byte that nothing reads) or is refused."""
    path = tmp_path / "c.npz"
    original = statistics(tensors={"a": tensor(2)})
    original.save(path)
    good = path.read_bytes()
    refused = 0
    places = range(0, len(good), 29)
    for place in places:
        damaged = bytearray(good)
        damaged[place] ^= 0x41
        for content in (good[:place], bytes(damaged)):
            path.write_bytes(content)
            outcome = digest_or_code(path)
            assert outcome in ("OQ412", original.digest)
            refused += outcome == "OQ412"
    assert refused > 1.5 * len(places)


def rewritten(path, **changes):
    """Write a calibration with changed arrays, or changed keys of its JSON."""
    statistics(tensors={"a": tensor(2)}).save(path)
    with np.load(path) as npz:
        arrays = dict(npz)
    meta = json.loads(arrays["meta"].tobytes())
    for key, change in changes.items():
        if key in arrays:
            arrays[key] = change(arrays[key])
        else:
            meta[key] = change(meta[key])
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(path, **arrays)


def test_the_rewriting_itself_does_no_harm(tmp_path):
    rewritten(tmp_path / "c.npz")
    assert Statistics.load(tmp_path / "c.npz").digest == statistics(tensors={"a": tensor(2)}).digest


@pytest.mark.parametrize(
    "changes",
    [
        {"version": lambda version: version + 1},
        {"format": lambda _: "another format"},
        {"mantissa_bits": lambda bits: bits + 1},
        {"counts": lambda counts: counts + 1},
        {"counts": lambda counts: counts[:-1]},
        {"counts": lambda counts: -counts},
        {"gaps": lambda gaps: -gaps},
        {"gaps": lambda gaps: np.append(gaps[:-1], 2**30)},
        {"offsets": lambda offsets: offsets[:-1]},
        {"offsets": lambda offsets: offsets - 1},
        {"tensors": lambda tensors: tensors * 2},
    ],
)
def test_another_version_and_inconsistent_content_are_refused(tmp_path, changes):
    rewritten(tmp_path / "c.npz", **changes)
    with pytest.raises(OnnxqError) as caught:
        Statistics.load(tmp_path / "c.npz")
    assert code_of(caught) == "OQ412"


@pytest.mark.parametrize(
    "change",
    [
        {"model_digest": "cd" * 32},
        {"calibrator": "max"},
        {"preprocess": "resnet"},
        {"input_shapes": {"images": (1, 3, 32, 32)}},
    ],
)
def test_what_does_not_belong_together_is_not_added(change):
    with pytest.raises(OnnxqError, match=re.escape("[OQ418]")):
        statistics() + dataclasses.replace(statistics(), **change)


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
