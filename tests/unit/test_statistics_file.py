"""The container of a calibration against damage, deceit and other versions."""

import io
import os
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxq.calibration.histogram import BitHistogram
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.diagnostics import OnnxqError
from tests.sealed import NAMES, archive, arrays_of, npy, of_arrays, sealed


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a real file of two tensors, and its digest."""
    rng = np.random.default_rng(0)
    tensors = {
        name: TensorStatistics(values=BitHistogram.of(x.astype(np.float32)), samples=3)
        for name, x in (("x", rng.standard_normal(3000)), ("y", np.abs(rng.laplace(size=500))))
    }
    statistics = Statistics(
        model_digest="ab" * 32, calibrator="histogram", samples=3,
        input_shapes={"x": (1, 3)}, tensors=tensors,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("whole") / "c.npz"
    statistics.save(path)
    return path.read_bytes(), statistics.digest


def outcome(path, content):
    """The digest of what loads, or the code of the one error."""
    path.write_bytes(content)
    try:
        return Statistics.load(path).digest
    except OnnxqError as refused:
        (told,) = refused.diagnostics
        return told.code if told.fix and "\n" not in str(refused) else str(refused)


def test_numpy_reads_the_file(tmp_path, whole):
    content, digest = whole
    assert outcome(tmp_path / "c.npz", content) == digest
    with np.load(tmp_path / "c.npz", allow_pickle=False) as npz:
        assert tuple(npz.files) == NAMES
    assert zipfile.ZipFile(tmp_path / "c.npz").testzip() is None


def test_every_byte_that_changed_is_noticed(tmp_path, whole):
    content, _ = whole
    path = tmp_path / "c.npz"
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        assert outcome(path, damaged) == "OQ412", place


def test_every_cut_is_noticed(tmp_path, whole):
    content, _ = whole
    for length in range(len(content)):
        assert outcome(tmp_path / "c.npz", content[:length]) == "OQ412", length
        if length % 16 == 0:
            assert outcome(tmp_path / "c.npz", content[length + 1 :]) == "OQ412", length


@given(data=st.data())
@settings(max_examples=150)
def test_any_other_damage_is_noticed(tmp_path_factory, whole, data):
    content, _ = whole
    places = st.integers(0, len(content))
    a, b = sorted((data.draw(places), data.draw(places)))
    part = data.draw(st.binary(max_size=40))
    damaged = data.draw(
        st.sampled_from([
            content[:a] + part + content[b:],  # a piece that is missing or another
            content[:a] + content[a:b] * 2 + content[b:],
            content + part,
            part + content,
            content + content,
            bytes(len(content)),
        ])
    )  # fmt: skip
    expected = whole[1] if damaged == content else "OQ412"
    assert outcome(tmp_path_factory.mktemp("d") / "c.npz", damaged) == expected


def test_damage_under_a_checksum_that_fits_changes_no_answer(tmp_path, whole):
    """Zip's own checks, the bounds and the consistency of the content hold without the checksum."""
    content, digest = whole
    found = set()
    for place in range(0, len(content) - 64, 3):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        found.add(outcome(tmp_path / "c.npz", sealed(bytes(damaged))))
    assert found <= {"OQ412", "OQ440", digest}
    assert "OQ412" in found


@pytest.mark.parametrize("version", [3, 17, 999_999])
def test_a_newer_version_says_what_to_do(tmp_path, version):
    (tmp_path / "c.npz").write_bytes(archive([("other.bin", b"of another layout")], version))
    with pytest.raises(OnnxqError, match=f"format {version}, from a newer onnxq") as caught:
        Statistics.load(tmp_path / "c.npz")
    (told,) = caught.value.diagnostics
    assert told.code == "OQ440"
    assert "pip install --upgrade onnxq" in told.fix


def test_an_older_version_is_refused(tmp_path, whole):
    assert outcome(tmp_path / "c.npz", archive([], version=1)) == "OQ412"
    with np.load(io.BytesIO(whole[0])) as npz:  # version 1 was as numpy writes, without a checksum
        np.savez_compressed(tmp_path / "old.npz", **npz)
    assert outcome(tmp_path / "c.npz", (tmp_path / "old.npz").read_bytes()) == "OQ412"


def peak(path, content):
    """The outcome, and the most memory that finding it took."""
    tracemalloc.start()
    try:
        return outcome(path, content), tracemalloc.get_traced_memory()[1] - 2 * len(content)
    finally:
        tracemalloc.stop()


def entries(**changes):
    empty = {"meta": np.uint8, "gaps": np.int32, "counts": np.int64, "offsets": np.int64}
    made = {name: npy(np.zeros(1, dtype)) for name, dtype in empty.items()}
    return [(f"{name}.npy", content) for name, content in {**made, **changes}.items()]


def header(text):
    """A .npy file of version 1.0 with this header, and no data."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


CLAIM = "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }"


@pytest.mark.parametrize(
    "content",
    [
        archive(entries(counts=npy(np.zeros(40_000_000, np.int64)))),
        archive(entries(meta=npy(np.full(200_000_000, ord("["), np.uint8)))),
        archive(entries(counts=header(CLAIM))),
        archive(entries(counts=header(CLAIM.replace("<i8", "|O")))),
        archive(entries(counts=header("(" * 60_000))),
        archive(entries(counts=b"\x93NUMPY\x03\x00" + b"\xff" * 4 + b"{")),
        archive([*entries(), *entries()]),
        archive([*entries(), ("more.npy", b"")]),
        archive([(f"{i}.npy", b"") for i in range(2000)]),
        archive([("../../meta.npy", b""), *entries()[1:]]),
        archive(entries(meta=npy(np.frombuffer(b"[" * 100_000, np.uint8)))),
        archive(entries(meta=npy(np.frombuffer(b'{"samples": 1' + b"0" * 9999 + b"}", np.uint8)))),
        archive(entries(meta=npy(np.array([{}]), allow_pickle=True))),
    ],
    ids=[
        "320 MB of zeros", "200 MB of brackets", "a claimed terabyte", "claimed objects",
        "a long header", "a header of 4 GB", "names twice", "more names", "many names", "paths",
        "deep JSON", "a long number", "pickled",
    ],
)  # fmt: skip
def test_what_is_made_to_deceive_is_refused_and_takes_no_memory(tmp_path, content):
    code, memory = peak(tmp_path / "c.npz", content)
    assert code == "OQ412"
    assert memory < 20 << 20


def test_a_size_that_lies_is_noticed(tmp_path):
    content = archive(entries(counts=npy(np.zeros(3_000_000, np.int64))))
    claimed = len(npy(np.zeros(3_000_000, np.int64))).to_bytes(4, "little")
    lying = sealed(content.replace(claimed, (200).to_bytes(4, "little")))
    assert lying != content
    code, memory = peak(tmp_path / "c.npz", lying)
    assert code == "OQ412"
    assert memory < 20 << 20


def test_real_files_are_far_from_the_bounds(tmp_path, whole):
    (tmp_path / "c.npz").write_bytes(whole[0])
    arrays, meta = arrays_of(tmp_path / "c.npz")
    assert outcome(tmp_path / "d.npz", of_arrays(arrays, meta)) == whole[1]
    assert sum(a.nbytes for a in arrays.values()) < 20 * len(whole[0])


@pytest.mark.parametrize(
    "content", [b"", b"P", b"PK", b"\x93NUMPY", b"not a calibration", b"0" * 64]
)
def test_other_files_are_refused(tmp_path, content):
    assert outcome(tmp_path / "c.npz", content) == "OQ412"


def test_other_kinds_of_file_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(OnnxqError, match="not a regular file"):
            Statistics.load(path)
