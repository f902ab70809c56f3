"""What an output holds, which figures are usual for it, and outputs that random numbers change."""

import numpy as np
import onnx
import pytest

from onnxq import verify
from onnxq.verification import compare
from onnxq.verification.numeric.kinds import kind_of
from tests.onnx_text import model

from .models import Builder, fed


@pytest.mark.parametrize(
    ("shape", "low", "high", "kind"),
    [
        ((1, 1000), -8, 15, "logits"),
        ((1, 1000), 0, 0.9, "logits"),
        ((1, 4, 8400), 0, 640, "boxes"),
        ((1, 100, 4), 0, 1, "boxes"),
        ((1, 80, 8400), 0, 0.9, "scores"),
        ((1, 1, 640, 640), 0, 1, "scores"),
        ((1, 128, 384), -9, 12, "hidden state"),
        ((1, 3, 64, 64), -1, 1, "other"),
        ((7,), -1, 1, "other"),
    ],
)
def test_kinds_by_form(shape, low, high, kind):
    assert kind_of(shape, low, high) == kind


def test_kinds_of_parts_of_rows():
    assert kind_of((30, 4), 0, 640, is_part=True) == "boxes"
    assert kind_of((1, 30, 4), -3, 5, is_part=True) == "boxes"
    assert kind_of((30, 1), 0, 0.9, is_part=True) == "scores"
    assert kind_of((30, 4), 0, 0.9, is_part=True) == "scores"  # of four classes
    assert kind_of((30, 1), 0, 79, is_part=True) == "other"


def noisy(noise, shape):
    """x through an Add of some noise; reports the words on it."""
    build = Builder()
    build.op("Add", "x", build.constant(np.float32(noise)), name="y")
    return build.model("y_out", shape=shape)


@pytest.mark.parametrize(
    ("noise", "shape", "words"),
    [
        (
            0.13,
            (1, 10),
            "y_out: logits, probabilities and embeddings in int8 have typically 12 to 20 dB; top-1",
        ),
        (0.13, (1, 3, 8), "y_out: hidden states in int8 have typically 12 to 20 dB; the task"),
        (0.13, (1, 4, 9), "boxes in int8 have typically 20 to 30 dB; of a detector"),
        (0.05, (1, 10), ""),
    ],
)
def test_the_report_says_what_is_usual_and_what_decides(noise, shape, words):
    data = [np.random.default_rng(i).normal(size=shape).astype(np.float32) for i in range(3)]
    text = str(verify(noisy(0, shape), noisy(noise, shape), data=data, backend="onnxruntime"))
    assert words in text
    assert ("typically" in text) == bool(words)
    assert ("--tensors" in text) == ("boxes" in words)  # 18 dB


RANDOM = {
    "RandomNormalLike": "n = RandomNormalLike(x)",
    "RandomUniformLike": "n = RandomUniformLike<low=-1.0, high=1.0>(x)",
    "RandomNormal": "n = RandomNormal<shape=[2,8]>()",
    "RandomUniform": "n = RandomUniform<shape=[2,8], seed=7.0>()",
    "Bernoulli": "p = Sigmoid(x) n = Bernoulli(p)",
    "Multinomial": "i = Multinomial<sample_size=8>(x) n = Cast<to=1>(i)",
    "Dropout": "n = Dropout(x, half, yes)",
}


def with_draws(text, weight):
    """y = w x + n with random n, and z = w x."""
    lines = text.replace(") n", ")\n n")
    proto = model(
        f"""
        g (float[2,8] x) => (float[2,8] y, float[2,8] z)
        <float[8,8] w, float half = {{0.5}}, bool yes = {{1}}> {{
          z = MatMul(x, w)
          {lines}
          y = Add(z, n)
        }}"""
    )
    (stored,) = (t for t in proto.graph.initializer if t.name == "w")
    stored.CopyFrom(onnx.numpy_helper.from_array((np.eye(8) * weight).astype(np.float32), "w"))
    return proto


@pytest.mark.parametrize("op", RANDOM)
def test_both_models_draw_the_same_numbers(op):
    data = [np.random.default_rng(i).normal(size=(2, 8)).astype(np.float32) for i in range(4)]
    float_model, changed = (with_draws(RANDOM[op], weight) for weight in (1, 1.01))
    noisy, exact = compare(float_model, changed, fed(data)).outputs
    assert noisy.mean_abs_error == pytest.approx(exact.mean_abs_error, abs=1e-6)
    assert exact.sqnr_db == pytest.approx(40, abs=0.1)
    report = verify(float_model, changed, data=data, backend="onnxruntime")
    (note,) = (d for d in report.diagnostics if d.code == "OQ681")
    assert note.message.startswith(f"output 'y' depends on random numbers of {op} '")
    assert not any(d.code == "OQ681" for d in verify(float_model, changed).diagnostics)


def test_a_dropout_of_inference_draws_nothing():
    text = RANDOM["Dropout"].replace("yes", "no").replace("n = ", "no = Not(yes)\n n = ")
    proto = with_draws(text, 1)
    data = [np.ones((2, 8), np.float32)]
    found = verify(proto, proto, data=data, backend="onnxruntime").diagnostics
    assert "OQ681" not in {d.code for d in found}
