"""Lint as a whole: what its findings say, and that it takes any model."""

import numpy as np
import onnx
import pytest
from onnx.backend.test.case.node import collect_testcases

from onnxq.diagnostics import Severity
from onnxq.linting import Effect, lint, predict, repaired
from onnxq.model import weights
from onnxq.model.io import save
from tests.verification.models import Builder, quantized_conv

from .examples import examples, model_of

BY_NAME = {(e["code"], e["name"]): e for e in examples()}


def example(code, name):
    return model_of(BY_NAME[code, name])


def test_a_good_model_has_no_findings():
    assert lint(quantized_conv()) == ()


def test_one_fault_of_a_shared_scale_is_told_once():
    build = Builder()
    scale = build.constant(np.float32(0))
    first = build.conv(build.pair("x", scale), 4, 4, name="a", scale=None)
    model = build.model(build.conv(build.pair(first, scale), 4, 4, name="b", scale=None))
    assert [d.code for d in lint(model)] == ["OQ611"]


def test_the_effect_tells_the_severity():
    assert {effect: effect.severity for effect in Effect} == {
        Effect.REJECTED: Severity.ERROR,
        Effect.CRASHES: Severity.ERROR,
        Effect.FLOAT: Severity.ERROR,
        Effect.INVALID: Severity.ERROR,
        Effect.DIFFERENT: Severity.ERROR,
        Effect.COST: Severity.WARNING,
        Effect.NOTE: Severity.INFO,
    }


def test_messages_name_the_node_the_fault_and_the_cure():
    (found,) = lint(example("OQ613", "MatMul on axis 0"))
    assert str(found) == (
        "error[OQ613]: MatMul 'mm': the scale of weight 'w' has axis 0; "
        "it must be 1; write one scale for each output channel, on its axis, or one for the whole "
        "weight"
    )
    assert (found.node, found.effect) == ("mm", Effect.FLOAT)


def test_predictions_give_the_reason():
    (op,) = predict(example("OQ613", "MatMul on axis 0")).ops
    assert op.reason == "the scale of weight 'w' has axis 0; it must be 1"
    outlook = predict(example("OQ616", "an int32 bias"))
    assert [found.code for found in outlook.stops] == ["OQ616"]
    assert not outlook.builds


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_lint_and_repair_take_the_test_models_of_every_operator():
    models = [test.model for test in collect_testcases(None)]
    assert len(models) > 1000
    assert {found.code for model in models for found in lint(model)} >= {"OQ610", "OQ619"}
    quantized = [m for m in models if any("Quantize" in n.op_type for n in m.graph.node)]
    assert len(quantized) > 15
    for model in quantized:
        made, _ = repaired(model)
        predict(made)


@pytest.mark.parametrize("key", [k for k, e in BY_NAME.items() if "repaired" in e], ids=" ".join)
def test_repairs_keep_references_to_weights_in_files(key, tmp_path):
    proto = example(*key)
    path = tmp_path / "model.onnx"
    for number, tensor in enumerate(proto.graph.initializer):
        if number % 2 == 0 and tensor.HasField("raw_data"):
            file = tmp_path / f"{number}.bin"
            file.write_bytes(tensor.raw_data)
            place = weights.Place(file=file, offset=0, length=len(tensor.raw_data))
            weights.refer(tensor, place)
    before = {f: f.read_bytes() for f in tmp_path.iterdir()}
    assert before
    references = {t.name for t in proto.graph.initializer if weights.place(t) is not None}
    in_memory, repairs = repaired(example(*key))
    made, same_repairs = repaired(proto)
    assert same_repairs == repairs
    kept = {t.name: weights.place(t) for t in made.graph.initializer if t.name in references}
    assert all(place is not None for place in kept.values())
    assert {f: f.read_bytes() for f in before} == before
    save(made, path)
    assert onnx.load(path).graph.node == in_memory.graph.node
    for tensor in onnx.load(path).graph.initializer:
        (other,) = (t for t in in_memory.graph.initializer if t.name == tensor.name)
        assert weights.array(tensor).tobytes() == weights.array(other).tobytes()


@pytest.mark.parametrize(
    "key", [("OQ610", "an int8 zero point of 0"), ("OQ618", "a stored scalar"),
            ("OQ616", "an int32 bias"), ("OQ613", "no axis"), ("OQ629", "two equal pairs"),
            ("OQ622", "uint8 from 0"), ("OQ611", "a dead channel")],
    ids=lambda key: " ".join(key),
)  # fmt: skip
def test_lint_and_repair_take_damaged_models(key):
    for index in range(len(example(*key).graph.node)):
        for keep in (0, 1):
            model = example(*key)
            del model.graph.node[index].input[keep:]
            lint(model)
            repaired(model)
    for index in range(len(example(*key).graph.initializer)):
        model = example(*key)
        model.graph.initializer[index].ClearField("raw_data")
        lint(model)
        repaired(model)
        del model.graph.initializer[index]
        lint(model)
        repaired(model)
