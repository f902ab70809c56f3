"""The file of an improvement: whole, the same bytes for the same content, damage is noticed."""

import numpy as np
import pytest

import onnxq
from onnxq.improvement.steps import Step
from tests.improvement.models import two_convs


@pytest.fixture
def improvement():
    rng = np.random.default_rng(3)
    return onnxq.Improvement(
        model_digest="a" * 64,
        plan_digest="b" * 64,
        statistics_digest="c" * 64,
        data_digest="d" * 64,
        recipe="trt-int8",
        loss="",
        settings="",
        seed=3,
        fitted=9,
        validated=3,
        steps=(
            Step(name="bias", ops=2, changed=2, loss_before=0.5, loss_after=0.25, kept=True,
                 notes={"n": "shifted"}),
            Step(name="learn", ops=2, changed=1, loss_before=0.25, loss_after=float("inf"),
                 kept=False, why="samples that it did not see got worse"),
        ),
        constants={"w": rng.normal(size=(2, 3)).astype(np.float32), "h": np.float16([1, 2])},
        biases={"n": np.zeros(0, np.float32)},
        scales={("x", "n", 0): np.float32(0.25), ("w", "n", 1): np.float32([1, 2])},
        moved=("x",),
    )  # fmt: skip


def test_it_is_read_as_it_was_written(tmp_path, improvement):
    saved = improvement.save(tmp_path / "i.npz")
    loaded = onnxq.Improvement.load(tmp_path / "i.npz")
    assert loaded.digest == improvement.digest == saved.digest
    assert loaded.steps == improvement.steps
    assert loaded.to_dict() == saved.to_dict()
    for kind in ("constants", "biases", "scales"):
        ours, theirs = getattr(improvement, kind), getattr(loaded, kind)
        assert ours.keys() == theirs.keys()
        for key, array in ours.items():
            np.testing.assert_array_equal(array, theirs[key])
            assert np.asarray(array).dtype == theirs[key].dtype
    assert loaded.gain_db == pytest.approx(10 * np.log10(2))


def test_equal_content_gives_equal_bytes(tmp_path, improvement):
    for name in ("a.npz", "b.npz"):
        improvement.save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_every_byte_that_changed_is_noticed(tmp_path, improvement):
    path = tmp_path / "i.npz"
    content = improvement.save(path).path.read_bytes()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(onnxq.OnnxqError, match="OQ474"):
            onnxq.Improvement.load(path)


def test_other_files_are_refused(tmp_path, improvement):
    with pytest.raises(onnxq.OnnxqError, match="OQ473"):
        onnxq.Improvement.load(tmp_path / "none.npz")
    improvement.save(tmp_path / "i.npz")
    with pytest.raises(onnxq.OnnxqError, match=r"OQ412.*another kind of file: improvement"):
        onnxq.Statistics.load(tmp_path / "i.npz")


def test_it_is_no_data(tmp_path, improvement):
    """A folder of samples in which a user works holds improvements too."""
    np.save(tmp_path / "0.npy", np.ones((1, 3, 8, 8), np.float32))
    improvement.save(tmp_path / "i.npz")
    statistics = onnxq.calibrate(two_convs(), tmp_path)
    assert statistics.samples == 1
    assert any("i.npz" in d.message for d in statistics.diagnostics if d.code == "OQ438")
