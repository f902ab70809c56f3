"""Every rule on its good and bad examples: what it finds, what TensorRT-RTX builds, what repairs.

Where an example says what the engine is, `predict` must have said so before the build.
"""

import numpy as np
import onnx
import onnxruntime
import pytest

from onnxq.codes import CODES
from onnxq.diagnostics import OnnxqError
from onnxq.linting import RULES, Effect, lint, predict, repaired
from onnxq.model.compiler_ops import ALSO_IMPORTED, has_importer
from onnxq.verification.tensorrt import compile_report
from tests.compiled.engine import imported_by_the_parser, layers_of

from .examples import examples, model_of

EXAMPLES = list(examples())
BUILT = [e for e in EXAMPLES if "engine" in e]
REPAIRED = [e for e in EXAMPLES if "repaired" in e]
NAMES = [f"{e['code']} {e['name']}" for e in EXAMPLES]


def each(chosen):
    return pytest.mark.parametrize("example", chosen, ids=lambda e: f"{e['code']} {e['name']}")


def codes_of(model):
    return sorted({found.code for found in lint(model)})


@each(EXAMPLES)
def test_lint_finds_what_is_wrong_and_nothing_else(example):
    model = model_of(example)
    before = model.SerializeToString(deterministic=True)
    assert codes_of(model) == example["finds"]
    assert model.SerializeToString(deterministic=True) == before


@each(BUILT)
def test_prediction_and_build_agree(example, tmp_path):
    model, expected = model_of(example), example["engine"]
    outlook = predict(model)
    told = {op.node: op.precision for op in outlook.ops} if outlook.builds else "rejected"
    assert told == expected
    if expected == "rejected":
        assert refused(model, tmp_path, crash=outlook.stops[0].effect is Effect.CRASHES)
    else:
        layers = layers_of(model)
        assert {name: layers.precision(name) for name in expected} == expected


def refused(model, folder, *, crash):
    """Whether the builder does not take a model. One that kills it needs a process of its own."""
    if not crash:
        with pytest.raises(Exception, match=r"not parse ONNX|Invalid Engine"):
            layers_of(model)
        return True
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(OnnxqError, match="crashed"):
        compile_report(folder / "model.onnx")
    return True


@each(REPAIRED)
def test_repairs(example):
    model = model_of(example)
    before = model.SerializeToString(deterministic=True)
    made, repairs = repaired(model)
    assert model.SerializeToString(deterministic=True) == before
    assert {r.code for r in repairs} >= {example["finds"][0]}
    assert codes_of(made) == []
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(made, strict_mode=True))
    assert predict(made).builds
    if example["repaired"] == "valid":
        with pytest.raises(Exception, match="ONNXRuntimeError"):
            outputs(model, model)
        assert all(np.all(np.isfinite(y)) for y in outputs(made, made))
        return
    for old, new in zip(outputs(model, model), outputs(made, model), strict=True):
        if example["repaired"] == "same":
            assert all(r.exact for r in repairs)
            np.testing.assert_array_equal(new, old)
        else:
            error = np.abs(new - old).max() / np.abs(old).max()
            assert 0 < error <= example["repaired"]
            assert not all(r.exact for r in repairs)


def outputs(model, inputs_of):
    """What onnxruntime computes, with its optimizations off, of random inputs."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    rng = np.random.default_rng(1)
    feed = {}
    for value in inputs_of.graph.input:
        kind = value.type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        shape = [d.dim_value for d in kind.shape.dim]
        feed[value.name] = (2 * rng.normal(size=shape)).astype(dtype)
    return [y for y in session.run(None, feed) if y.dtype.kind == "f"]


def test_every_rule_has_good_and_bad_examples():
    for code in RULES:
        own = [e for e in EXAMPLES if e["code"] == code]
        assert any(e["finds"] == [] for e in own), code
        assert any(code in e["finds"] for e in own), code
        assert bool(RULES[code].repairs) == any("repaired" in e for e in own), code
    assert {e["code"] for e in EXAMPLES} == set(RULES)
    assert len(set(NAMES)) == len(NAMES)


def test_every_rule_has_an_entry_in_the_catalogue():
    of_commands = {"OQ639", "OQ640"}
    of_lint = {code for code in CODES if "OQ609" <= code <= "OQ649"}
    assert of_lint - of_commands == set(RULES)


def test_many_experiments_are_predicted():
    assert len(BUILT) >= 60


def test_the_table_of_ops_is_that_of_the_parser():
    defined = {s.name for s in onnx.defs.get_all_schemas_with_history() if not s.domain}
    ops = sorted(defined | ALSO_IMPORTED | {"EfficientNMS_TRT", "FusedConv", "Twice"})
    assert imported_by_the_parser(ops) == [op for op in ops if has_importer(op)]
