"""train: what it gains, what it leaves alone, checkpoints, losses and metrics."""

import csv
import json
import math

import numpy as np
import onnx
import pytest
import torch

import onnxq
import onnxq.torch
from onnxq.diagnostics import OnnxqError
from onnxq.improvement.loss import Judge
from tests import onnx_text
from tests.cli.forked import onnxq as command
from tests.command import succeeded
from tests.improvement.models import samples
from tests.inserting import computed
from tests.torch.test_files import changed_numbers

from .models import written

DATA = samples(40)


@pytest.fixture
def files(tmp_path):
    return written(tmp_path)


def db(float_path, model, data):
    loaded = onnxq.load(float_path)
    judge = Judge(model=loaded.proto, graph=loaded.graph, samples=data)
    return -10 * math.log10(judge.loss(model))


def test_it_gains_on_samples_that_it_never_saw(files, tmp_path):
    teacher, model = files
    out = tmp_path / "out.onnx"
    result = onnxq.train(model, teacher, DATA, epochs=40, rate=8.0, output=out)
    others = samples(32, seed=77)
    before, after = (db(teacher, onnx.load(path), others) for path in (model, out))
    assert after > before + 6
    assert result.best.number > 0
    assert result.samples == (32, 8)
    gained = result.after.sqnr_db["y"] - result.before.sqnr_db["y"]
    assert gained == pytest.approx(after - before, abs=2)
    assert result.proto == onnx.load(out)


def test_the_figures_are_those_of_the_file_as_it_is_written(files):
    teacher, model = files
    result = onnxq.train(model, teacher, DATA, epochs=3, rate=8.0)
    held_out = DATA[4::5]
    assert result.before.sqnr_db["y"] == pytest.approx(db(teacher, onnx.load(model), held_out))
    assert result.after.sqnr_db["y"] == pytest.approx(db(teacher, result.proto, held_out))
    assert result.figure(result.best) == pytest.approx(result.after.sqnr_db["y"], abs=0.1)


def test_amax_alone_learns(files, tmp_path):
    teacher, model = files
    out = tmp_path / "out.onnx"
    onnxq.train(model, teacher, DATA, epochs=6, rate=8.0, learn="amax", output=out)
    changed = changed_numbers(model, out)
    scales = {n for q in onnxq.torch.load(model).quantizers.values() for n in q.of.scales}
    weights = {q.of.tensor for q in onnxq.torch.load(model).quantizers.values() if q.of.stored}
    assert changed
    assert changed <= scales | weights
    assert "bias2" not in changed
    assert "bias2" in changed_numbers(model, trained(files, tmp_path))


def trained(files, tmp_path):
    teacher, model = files
    out = tmp_path / "all.onnx"
    onnxq.train(model, teacher, DATA, epochs=2, rate=8.0, output=out)
    return out


def test_it_is_deterministic(files):
    teacher, model = files
    runs = [onnxq.train(model, teacher, DATA, epochs=2, rate=8.0) for _ in range(2)]
    assert runs[0].proto == runs[1].proto
    other = onnxq.train(model, teacher, DATA, epochs=2, rate=8.0, seed=1)
    assert other.proto != runs[0].proto


def test_it_goes_on_from_a_checkpoint_as_if_nothing_had_been(files, tmp_path):
    """It is stopped in the middle of its third epoch."""
    teacher, model = files
    checkpoint = tmp_path / "train.ck"
    whole = onnxq.train(model, teacher, DATA, epochs=4)
    steps = iter(range(11))

    def stop(event):
        if not event.note:
            try:
                next(steps)
            except StopIteration:
                raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt):
        onnxq.train(model, teacher, DATA, epochs=4, checkpoint=checkpoint, progress=stop)
    with pytest.raises(OnnxqError, match=r"OQ433.*exists already"):
        onnxq.train(model, teacher, DATA, epochs=4, checkpoint=checkpoint)
    with pytest.raises(OnnxqError, match=r"OQ431.*another data"):
        onnxq.train(
            model, teacher, samples(40, seed=9), epochs=4, checkpoint=checkpoint, resume=True
        )
    with pytest.raises(OnnxqError, match=r"OQ431.*another settings"):
        onnxq.train(model, teacher, DATA, epochs=5, checkpoint=checkpoint, resume=True)
    notes = []
    resumed = onnxq.train(
        model, teacher, DATA, epochs=4, checkpoint=checkpoint, resume=True, progress=notes.append
    )
    assert resumed.proto == whole.proto
    same = [(e.number, e.loss, e.held_out) for e in whole.epochs[1:]]
    assert [(e.number, e.loss, e.held_out) for e in resumed.epochs[1:]] == same
    epochs = [n.note for n in notes if n.note.startswith("epoch")]
    assert [note.split(":")[0] for note in epochs] == ["epoch 3 of 4", "epoch 4 of 4"]
    assert not checkpoint.exists()


def test_a_damaged_checkpoint_is_refused(files, tmp_path):
    teacher, model = files
    checkpoint = tmp_path / "train.ck"
    checkpoint.write_bytes(b"PK damaged")
    with pytest.raises(OnnxqError, match="OQ433"):
        onnxq.train(model, teacher, DATA, epochs=4, checkpoint=checkpoint, resume=True)
    assert checkpoint.read_bytes() == b"PK damaged"


def test_patience_ends_it(files):
    teacher, model = files
    result = onnxq.train(model, teacher, DATA, epochs=50, rate=100.0, patience=2)
    assert len(result.epochs) - 1 == result.best.number + 2


def test_what_does_not_help_is_not_kept(files, tmp_path):
    """At a rate at which nothing can learn the model stays as it was, and that is said."""
    teacher, model = files
    out = tmp_path / "out.onnx"
    result = onnxq.train(model, teacher, DATA, epochs=2, rate=1e9, output=out)
    assert [d.code for d in result.diagnostics if d.code in ("OQ713", "OQ715")]
    assert result.best.number == 0
    assert changed_numbers(model, out) == set()


LOSS = """
def compute(outputs, teacher, inputs):
    assert set(inputs) == {"x"} and inputs["x"].shape[1:] == (3, 8, 8)
    return (outputs["y"][:, 0] - teacher["y"][:, 0]).square().mean()

def nothing(outputs, teacher, inputs):
    return 0.0
"""


def test_a_loss_of_the_user(files, tmp_path):
    """It looks at one channel of four."""
    teacher, model = files
    loss = tmp_path / "loss.py"
    loss.write_text(LOSS)
    parts = ["first=y[:,0:1]", "others=y[:,1:]"]
    result = onnxq.train(model, teacher, DATA, epochs=24, rate=8.0, loss=loss, parts=parts)
    assert result.unit == "loss"
    assert result.after.sqnr_db["first"] > result.before.sqnr_db["first"] + 3
    first = [[computed(onnx.load(p), **s)[0][:, 0] for s in DATA[4::5]] for p in files]
    own = np.square(np.subtract(*first)).mean()
    assert result.epochs[0].held_out == pytest.approx(own, rel=0.02)
    assert result.best.held_out < result.epochs[0].held_out / 2
    same = onnxq.train(model, teacher, DATA, epochs=1, loss=f"{loss}:compute")
    assert same.epochs[0].held_out == result.epochs[0].held_out
    for bad, why in (
        (f"{loss}:nothing", "gives a float"),
        (f"{loss}:other", "no function 'other'"),
    ):
        with pytest.raises(OnnxqError, match=f"OQ711.*{why}"):
            onnxq.train(model, teacher, DATA, epochs=1, loss=bad)


HOSTILE = """
import os, torch

def error(outputs, teacher):
    return (outputs["y"] - teacher["y"]).square().mean()

def leaves_the_folder(outputs, teacher, inputs):
    os.chdir("/")
    return error(outputs, teacher)

def changes_its_inputs(outputs, teacher, inputs):
    result = error(outputs, teacher)
    inputs["x"].zero_()
    return result

def no_gradients(outputs, teacher, inputs):
    torch.set_grad_enabled(False)
    return error(outputs, teacher)

def leaves(outputs, teacher, inputs):
    raise GeneratorExit

def base(outputs, teacher, inputs):
    raise BaseException("x")
"""


def test_losses_that_change_more_than_they_should(files, tmp_path, monkeypatch):
    teacher, model = (path.resolve() for path in files)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(HOSTILE)
    for name in ("leaves_the_folder", "changes_its_inputs"):
        loss, output = f"own.py:{name}", f"{name}.onnx"
        onnxq.train(model, teacher, DATA, epochs=1, loss=loss, output=output)
        assert (tmp_path / output).is_file()
    for name, why in (
        ("no_gradients", "does not depend on the outputs"),
        ("leaves", "the loss raised GeneratorExit"),
        ("base", "the loss raised BaseException: x"),
    ):
        with pytest.raises(OnnxqError, match=f"OQ711.*{why}"):
            onnxq.train(model, teacher, DATA, epochs=1, loss=f"own.py:{name}")
    assert torch.is_grad_enabled()


METRIC = """
import numpy as np

def least(outputs, sample):
    return float(-np.abs(outputs["y"]).max())
"""


def test_a_metric_of_the_user_chooses_the_epoch(files, tmp_path):
    teacher, model = files
    metric = tmp_path / "score.py"
    metric.write_text(METRIC)
    result = onnxq.train(model, teacher, DATA, epochs=3, metric=f"{metric}:least")
    scores = [result.figure(epoch) for epoch in result.epochs]
    assert result.figure(result.best) == max(scores) == pytest.approx(result.after.score)
    assert result.before.score == pytest.approx(scores[0])


def test_labels_of_the_user_by_a_plain_function(files):
    """A function may close over what it needs, such as targets by the content of a sample."""
    teacher, model = files
    targets = {s["x"].tobytes(): float(i % 4) for i, s in enumerate(DATA)}

    def compute(outputs, floats, inputs):
        wanted = torch.tensor([targets[x.numpy()[None].tobytes()] for x in inputs["x"]])
        return (outputs["y"].mean((1, 2, 3)) - wanted).square().mean()

    result = onnxq.train(model, teacher, DATA, epochs=5, rate=8.0, loss=compute)
    assert result.epochs[-1].loss < result.epochs[1].loss


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"epochs": 0}, "OQ710"),
        ({"batch": 0}, "OQ710"),
        ({"rate": 0.0}, "OQ710"),
        ({"rate": math.nan}, "OQ710"),
        ({"rate": 1e308}, "OQ710"),
        ({"patience": 0}, "OQ710"),
        ({"learn": "weights"}, "OQ217"),
        ({"resume": True}, "OQ434"),
        ({"loss": "missing.py"}, "OQ711"),
    ],
)
def test_options_that_make_no_sense(files, options, code):
    teacher, model = files
    with pytest.raises(OnnxqError, match=code):
        onnxq.train(model, teacher, DATA, **options)


def test_other_models_and_too_few_samples(files, tmp_path):
    teacher, model = files
    other = onnx.load(teacher)
    other.graph.node[-1].output[0] = other.graph.output[0].name = "z"
    with pytest.raises(OnnxqError, match=r"OQ712.*outputs.*y.*z"):
        onnxq.train(model, other, DATA)
    with pytest.raises(OnnxqError, match=r"OQ471.*4 samples"):
        onnxq.train(model, teacher, DATA[:4])
    with pytest.raises(OnnxqError, match="OQ714"):
        onnxq.train(teacher, teacher, DATA, learn="amax")
    with pytest.raises(OnnxqError, match="OQ502"):
        onnxq.train(model, teacher, DATA, output=model)


def test_the_command(files, tmp_path):
    np.savez(tmp_path / "data.npz", x=np.concatenate([s["x"] for s in DATA]))
    arguments = ["model.qdq.onnx", "--teacher", "model.onnx", "--data", "data.npz"]
    more = ["--epochs", "2", "--rate", "8", "--log", "log.csv", "--json"]
    outcome = succeeded(command("train", *arguments, *more, cwd=tmp_path))
    result = json.loads(outcome.stdout)
    assert result["output"] == "model.qdq.trained.onnx"
    assert (tmp_path / "model.qdq.trained.onnx").exists()
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert float(rows[2]["held_out_dB"]) == pytest.approx(result["epochs"][2]["held_out"], rel=1e-4)
    plain = succeeded(command("train", *arguments, "--epochs", "1", "-o", "b.onnx", cwd=tmp_path))
    assert "y: " in plain.stdout
    assert "dB trained" in plain.stdout
    assert "'onnxq verify model.onnx b.onnx'" in plain.stdout
    outcome = command("train", *arguments, "--epochs", "0", cwd=tmp_path)
    assert (outcome.returncode, "OQ710" in outcome.stderr) == (2, True)


def test_stored_weights_begin_with_the_values_of_the_teacher(files):
    """Where those round to the same integers: the model computes what it did."""
    from onnxq.training.latent import take_values_of

    teacher, model = (onnxq.load(p, existing="keep").graph for p in files)
    module = onnxq.torch.load(files[1])
    x = torch.from_numpy(DATA[0]["x"])
    before, weight = module(x), module.initializers["w1_quantized"].detach().clone()
    assert take_values_of(teacher, module, model) == 2
    assert torch.equal(module(x), before)
    exact = torch.from_numpy(np.array(teacher.array("w1")))
    now = module.initializers["w1_quantized"].detach()
    assert (now - exact).abs().mean() < (weight - exact).abs().mean() / 10


def test_weights_that_became_others_keep_the_middle_of_their_steps(files):
    from onnxq.training.latent import take_values_of

    _teacher, model = (onnxq.load(p, existing="keep").graph for p in files)
    module = onnxq.torch.load(files[1])
    other = onnx.load(files[0])
    for tensor in other.graph.initializer:
        if tensor.name == "w1":
            array = 5 * onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, "w1"))
    weight = module.initializers["w1_quantized"].detach().clone()
    assert take_values_of(onnxq.load(other).graph, module, model) == 1
    assert torch.equal(module.initializers["w1_quantized"], weight)


MIXED = """
g (float[N, 4] x) => (float[N, 4] y) <float s = {0.02}, int8 z = {0}, float[4, 4] w> {
    m = ReduceMean <axes = [0]> (x)
    c = Sub (x, m)
    q = QuantizeLinear (c, s, z)
    d = DequantizeLinear (q, s, z)
    y = MatMul (d, w)
}
"""


def test_samples_that_a_model_mixes_run_alone():
    from onnxq.training.batching import together

    module = onnxq.torch.load(onnx_text.model(MIXED))
    some = [{"x": torch.randn(3, 4)} for _ in range(2)]
    assert together(module, some, 8) == 1
    plain = onnxq.torch.load(onnx_text.model(MIXED.replace("Sub (x, m)", "Identity (x)")))
    assert together(plain, some, 8) == 8
    assert together(plain, [{"x": torch.randn(n, 4)} for n in (2, 3)], 8) == 1


def test_a_loss_that_depends_on_nothing(files):
    teacher, model = files
    with pytest.raises(OnnxqError, match=r"OQ711.*does not depend on the outputs"):
        onnxq.train(model, teacher, DATA, loss=lambda *of: torch.tensor(1.0))


def test_another_content_of_the_loss_is_another_run(files, tmp_path):
    teacher, model = files
    loss, checkpoint = tmp_path / "loss.py", tmp_path / "train.ck"
    loss.write_text(LOSS)

    def stop(event):
        if event.note.startswith("epoch 1"):
            raise KeyboardInterrupt

    run = {"epochs": 2, "loss": loss, "checkpoint": checkpoint}
    with pytest.raises(KeyboardInterrupt):
        onnxq.train(model, teacher, DATA, **run, progress=stop)
    with pytest.raises(OnnxqError, match="OQ433"):
        onnxq.train(model, teacher, DATA, **run)
    loss.write_text(LOSS.replace(".square()", ".abs()"))
    with pytest.raises(OnnxqError, match=r"OQ431.*another loss"):
        onnxq.train(model, teacher, DATA, **run, resume=True)


def test_a_checkpoint_outlives_an_output_that_cannot_be_written(files, tmp_path):
    teacher, model = files
    (tmp_path / "out").mkdir()
    checkpoint = tmp_path / "train.ck"

    def lose(event):
        if event.note.startswith("epoch 1"):
            (tmp_path / "out").rmdir()

    where = {"output": tmp_path / "out" / "m.onnx", "checkpoint": checkpoint}
    with pytest.raises(OnnxqError, match="OQ501"):
        onnxq.train(model, teacher, DATA, epochs=1, **where, progress=lose)
    assert checkpoint.exists()
