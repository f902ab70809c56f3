"""One calibration, seen from inside: what is kept when, and what leaves the model."""

import os
import subprocess
import sys

import numba
import numpy as np
import onnx
import pytest

from onnxq.calibration.calibrate import Settings, calibrate, observed_tensors
from onnxq.calibration.checkpoint import Checkpoint
from onnxq.diagnostics import OnnxqError
from onnxq.feeds import DataRequest
from onnxq.model.graph import Graph
from tests.onnx_text import model

NET = """
net (float[N,4,8,8] x) => (float[N,3,8,8] y)
<float[4,4,3,3] w, float[4,4,3,3] v, float[3,12,1,1] k> {
    [a] a = Conv <pads = [1,1,1,1]> (x, w)
    [b] b = Conv <pads = [1,1,1,1]> (x, v)
    [c] c = Concat <axis = 1> (a, b, x)
    [y] y = Conv (c, k)
}
"""


class Run:
    """A net, and five samples in a file."""

    def __init__(self, folder):
        self.proto = model(NET)
        self.graph = Graph(self.proto, digest="d" * 64)
        self.samples = np.random.default_rng(0).standard_normal((5, 4, 8, 8)).astype(np.float32)
        np.save(folder / "data.npy", self.samples)
        self.request = DataRequest(source=str(folder / "data.npy"))
        self.tensors = observed_tensors(self.graph)

    def __call__(self, *part, **options):
        feed = self.request.open(self.graph).part(*part)
        return calibrate(self.proto, self.graph, feed, tensors=self.tensors, **options)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_what_follows_is_in_the_statistics(run):
    assert run.tensors == ("x", "a", "b", "c")
    seen = run().tensors
    assert set(seen) == set(run.tensors)
    assert seen["c"].range.count == sum(seen[name].range.count for name in "abx")


def test_extremes_are_those_that_the_model_has(run):
    shown = onnx.ModelProto.FromString(run.proto.SerializeToString())
    shown.graph.output.append(onnx.ValueInfoProto(name="c"))
    import onnxruntime

    session = onnxruntime.InferenceSession(shown.SerializeToString())
    values = np.concatenate([session.run(["c"], {"x": x[None]})[0] for x in run.samples])
    seen = run().tensors["c"].range
    assert (seen.minimum, seen.maximum) == (values.min(), values.max())


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_does_not_show(run, threads):
    assert run(settings=Settings(threads=threads)).digest == run().digest


def test_a_checkpoint_that_is_due_has_every_sample_so_far(run, tmp_path):
    checkpoint = Checkpoint(path=tmp_path / "c", run={"it": "r"}, resume=True, every=0.0)
    told = []

    def progress(done, passes):
        if (tmp_path / "c").exists():
            (part,) = checkpoint.begin([("x", "a", "b")]).parts
            told.append(part.samples)

    run(checkpoint=checkpoint, progress=progress)
    assert told == [1, 2, 3, 4]  # what was kept before the sample that was just done


def test_what_was_kept_and_what_came_after_make_the_whole(run, tmp_path):
    checkpoint = Checkpoint(path=tmp_path / "c", run={"it": "r"}, resume=True)
    stop_at = iter([False, False, True])

    def progress(done, passes):
        if done and next(stop_at):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=checkpoint, progress=progress)
    assert checkpoint.begin([("x", "a", "b")]).last == 2
    assert run(checkpoint=checkpoint).digest == run().digest


def test_what_is_resumed_is_told_first(run, tmp_path):
    checkpoint = Checkpoint(path=tmp_path / "c", run={"it": "r"}, resume=True)
    settings = Settings(max_memory=1)
    told = []

    def progress(done, passes):
        told.append(done)
        if sum(told) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=checkpoint, settings=settings, progress=progress)
    assert told == [0] + 7 * [1]
    told.clear()
    run(checkpoint=checkpoint, settings=settings, progress=lambda done, passes: told.append(done))
    assert told == [7] + 8 * [1]  # three passes over five samples


def test_a_checkpoint_of_other_passes_is_refused(run, tmp_path):
    checkpoint = Checkpoint(path=tmp_path / "c", run={"it": "r"}, resume=True, every=0.0)
    run(checkpoint=checkpoint)
    with pytest.raises(OnnxqError, match="OQ431"):
        run(checkpoint=checkpoint, settings=Settings(max_memory=2048))


@pytest.mark.parametrize("cut", [0, 1, 30, 400])
def test_a_damaged_checkpoint_is_refused(run, tmp_path, cut):
    checkpoint = Checkpoint(path=tmp_path / "c", run={"it": "r"}, resume=True, every=0.0)
    run(checkpoint=checkpoint)
    content = (tmp_path / "c").read_bytes()
    (tmp_path / "c").write_bytes(content[: len(content) - cut] if cut else content[100:])
    with pytest.raises(OnnxqError, match="OQ433"):
        run(checkpoint=checkpoint)


def test_several_passes_see_the_same(run):
    one, several = run(), run(settings=Settings(max_memory=1))
    assert several.data_digest == one.data_digest
    assert several.samples == 5
    for name in run.tensors:
        assert several.tensors[name].range.count == one.tensors[name].range.count
        assert several.tensors[name].range.maximum == pytest.approx(one.tensors[name].range.maximum)


def test_a_part_without_samples_is_nothing(run):
    nothing = run(7, 8)
    assert nothing.samples == 0
    assert (nothing + run()).digest == run().digest
    assert run(7, 8, settings=Settings(max_memory=1)).digest == nothing.digest


@pytest.mark.parametrize("settings", [Settings(), Settings(max_memory=1)])
def test_a_slower_run_says_so_once_and_has_the_same_result(run, tmp_path, monkeypatch, settings):
    run.proto = model(NET.replace("float[4,4,3,3] v", "float[16,4,3,3] v").replace("3,12", "3,24"))
    run.graph = Graph(run.proto, digest="d" * 64)
    usual = run(settings=settings)
    assert usual.diagnostics == ()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    slower = run(settings=settings)
    assert [d.code for d in slower.diagnostics] == ["OQ445"]
    assert slower.digest == usual.digest


COMPILED_AGAIN = """
import numpy as np, onnx
from onnxq.calibration.calibrate import Settings, calibrate
from onnxq.feeds import DataRequest
from onnxq.model.graph import Graph
proto = onnx.load("net.onnx")
view = Graph(proto)
for calibrator in ("max", "histogram"):
    feed = DataRequest(source=np.ones((2, 4, 8, 8), np.float32)).open(view)
    settings = Settings(calibrator=calibrator)
    statistics = calibrate(proto, view, feed, tensors=("x", "a"), settings=settings)
    print(calibrator, statistics["a"].range.count, [str(d) for d in statistics.diagnostics])
"""


@pytest.mark.skipif(
    not hasattr(numba.core.config, "CACHE_LOCATOR_CLASSES"),
    reason="this numba keeps its code somewhere, whatever a test says",
)
def test_where_numba_can_keep_nothing(tmp_path):
    onnx.save(model(NET), tmp_path / "net.onnx")
    env = {**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    env.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", COMPILED_AGAIN],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    ranges, histograms = done.stdout.splitlines()
    assert ranges == "max 512 []"
    assert histograms.startswith("histogram 512 ['info[OQ445]")
    assert "NUMBA_CACHE_DIR" in histograms
