"""A pair that is switched on is the pair inserted alone."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxq
from onnxq.feeds.samples import Sample
from onnxq.insertion.insert import insert
from onnxq.sensitivities.switches import Switches
from onnxq.sessions import open_session, run
from tests.e2e.test_bodies import BODIES
from tests.improvement.models import array, model, samples, two_convs
from tests.improvement.working import work_on
from tests.onnx_text import model as parsed

ONE_IN_FLOAT = """
schema: 1
extends: trt-int8
rules:
  - id: one
    why: A pair of the first is there already.
    match: {name: second}
    skip: all
"""


def half():
    """The two Convs in float16."""
    proto = two_convs()
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return proto, [{"x": s["x"].astype(np.float16)} for s in samples(4)]


def products():
    """Two MatMuls with weights of two blocks of 32."""
    rng = np.random.default_rng(0)
    weights = [array("w", rng.normal(size=(64, 64))), array("v", rng.normal(size=(64, 8)))]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "v"], ["y"], "second"),
    ]
    return model(nodes, weights, {"x": [4, 64]}, {"y": [4, 8]}), samples(4, (4, 64))


def bodies():
    rng = np.random.default_rng(1)
    shape = (2, 16, 8, 8)
    data = [
        {"x": rng.normal(size=shape).astype(np.float32), "c": np.array(c), "n": np.array(3)}
        for c in (True, False, True)
    ]
    return parsed(BODIES), data


def with_a_pair(zero_point):
    """Two Convs on one tensor, of which one reads it through a pair that is there already."""
    rng = np.random.default_rng(0)
    weights = [array(name, rng.normal(size=(4, 3, 1, 1))) for name in ("w", "v")]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "first"),
        helper.make_node("Conv", ["x", "v"], ["b"], "second"),
        helper.make_node("Add", ["a", "b"], ["y"], "sum"),
    ]
    shape = [1, 4, 8, 8]
    proto = model(nodes, weights, {"x": [1, 3, 8, 8]}, {"y": shape})
    data = samples(4)
    recipe, statistics = onnxq.Recipe.from_yaml(ONE_IN_FLOAT), onnxq.calibrate(proto, data)
    result = onnxq.insert(proto, recipe, statistics, weights="qdq").proto
    for tensor in result.graph.initializer:
        if tensor.name == "x_zero_point":
            tensor.CopyFrom(numpy_helper.from_array(zero_point, tensor.name))
    return onnxq.load(result, existing="keep"), data


CASES = {
    "int8": lambda: (two_convs(), samples(4), "trt-int8"),
    "fp8": lambda: (two_convs(), samples(4), "trt-fp8"),
    "int4 in blocks": lambda: (*products(), "trt-int4-weights"),
    "float16": lambda: (*half(), "trt-int8"),
    "bodies": lambda: (*bodies(), "trt-int8"),
    "a pair that is there": lambda: (*with_a_pair(np.array(0, np.int8)), "trt-int8"),
    "a pair of uint8 that is there": lambda: (*with_a_pair(np.array(128, np.uint8)), "trt-int8"),
}


def outputs_of(proto, tensors):
    session = open_session(proto)
    names = [o.name for o in session.get_outputs()]
    outputs = run(session, names, Sample(name="s", tensors=tensors, digest=""))
    return {name: np.asarray(outputs[name], np.float64) for name in names}


def inserted_alone(subject, pair):
    plan = replace(subject.plan, pairs=(pair,), groups=())
    scale = {pair: subject.scales.by_pair[pair]}
    return insert(subject.model, plan, replace(subject.scales, by_pair=scale))


def doubles(tensors):
    return {name: np.asarray(array, np.float64) for name, array in tensors.items()}


@pytest.mark.parametrize("case", CASES)
def test_a_switch_is_the_pair_inserted_alone(case):
    proto, data, recipe = CASES[case]()
    subject = work_on(proto, data, recipe).subject
    names = [o.name for o in subject.model.graph.output]
    pairs = list(subject.scales.by_pair)
    assert any(p.existing for p in pairs) == ("that is there" in case)
    switches = Switches(subject, names, pairs)
    close, alike = (2e-2, 0.15) if case == "float16" else (1e-3, 0.05)  # it is rounded elsewhere
    for tensors in data[:2]:
        off = doubles(switches.run(tensors, (), called="s"))
        expected = outputs_of(subject.model, tensors)
        for name in names:
            np.testing.assert_allclose(off[name], expected[name], rtol=close, atol=close)
        for pair in pairs:
            on = doubles(switches.run(tensors, {pair}, called="s"))
            alone = outputs_of(inserted_alone(subject, pair), tensors)
            for name in names:
                by_switch = np.square(on[name] - off[name]).sum()
                by_itself = np.square(alone[name] - expected[name]).sum()
                assert np.isclose(by_switch, by_itself, rtol=alike, atol=1e-4), pair.tensor


def test_the_model_is_not_changed_and_weights_are_stored_as_they_will_be():
    work = work_on(two_convs(64), samples(2))
    before = work.subject.model.SerializeToString(deterministic=True)
    Switches(work.subject, ["y"], set(work.subject.scales.by_pair))
    assert work.subject.model.SerializeToString(deterministic=True) == before


def test_all_on_is_the_quantized_model():
    work = work_on(two_convs(), samples(3))
    pairs = set(work.subject.scales.by_pair)
    switches = Switches(work.subject, ["y"], pairs)
    quantized = work.subject.quantized()
    onnx.checker.check_model(quantized)
    for tensors in samples(3):
        together = outputs_of(quantized, tensors)["y"]
        np.testing.assert_allclose(
            switches.run(tensors, pairs, called="s")["y"], together, rtol=1e-4, atol=1e-4
        )
