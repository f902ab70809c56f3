"""`insert --float` on models drawn at random: valid, near the model itself, pairs as they were."""

from functools import partial

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from onnxq.calibration.calibrate import Settings, calibrate, observed_tensors
from onnxq.calibration.half_ranges import with_ranges
from onnxq.insertion.insert import insert
from onnxq.insertion.lowering import in_half
from onnxq.insertion.precision import HALF
from onnxq.insertion.scales import compute_scales
from onnxq.model.graph import Graph
from onnxq.model.pairs import PAIR_OPS
from onnxq.model.preparing import prepare
from onnxq.verification.numeric.half_rounding import with_rounding
from tests.inserting import InMemory, computed
from tests.planning import planned, rule

from .float_models import INPUT, float_models

SETTINGS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WEIGHTED = "{op: [Conv, ConvTranspose, Gemm, MatMul]}"
NOTHING = rule("{op: Einsum}", quantize="{inputs: act}")
PAIRS = rule(WEIGHTED, quantize="{inputs: act, weights: weight}")
KEPT = rule("{op: [Conv, Sigmoid, Add]}", id="kept", keep_fp32="true")
drawn = st.booleans().flatmap(lambda large: float_models(large=large))
MAX = Settings(calibrator="max")
X = np.random.default_rng(7).normal(size=INPUT).astype(np.float32)


def inserted(folder, model, rules, name):
    """The model as stages see it, its Q/DQ model in float32, and the same in half precision."""
    prepared = prepare(onnx.ModelProto.FromString(model.SerializeToString()))
    graph, half = Graph(prepared, digest="d"), HALF[name]
    plan = planned(folder, graph, *rules)

    def observe(tensors):
        return calibrate(prepared, graph, InMemory({"x": X}), tensors=tensors, settings=MAX)

    statistics = calibrate(
        prepared,
        graph,
        InMemory({"x": X}),
        tensors=observed_tensors(graph, plan),
        decisions=plan.decisions,
    )
    statistics = with_ranges(statistics, graph, half.largest, observe)
    scales = compute_scales(graph, plan, statistics)
    lowered = in_half(partial(insert, prepared, plan), scales, graph, plan, statistics, half)
    assert "OQ514" not in {d.code for d in lowered.diagnostics}
    return prepared, insert(prepared, plan, scales), lowered


def stored(model):
    """Integers of a Q/DQ model: weights and zero points."""
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return {name: array.tobytes() for name, array in found.items() if array.dtype == np.int8}


def pairs(model):
    """Q and DQ, with the slot of whoever reads them; a DQ that two types read stands twice."""
    named = {o: n for n in model.graph.node for o in n.output}
    return {
        (node.name, slot, named[tensor].op_type)
        for node in model.graph.node
        for slot, tensor in enumerate(node.input)
        if tensor in named and named[tensor].op_type in PAIR_OPS
    }


def in_float(model, rest):
    """Ops that make float32 and have no reason to."""
    graph = Graph(model)
    return [
        n.name
        for n in graph.nodes
        if n.op not in ("Cast", "Constant", *PAIR_OPS) and n.name not in rest.kept
        if TensorProto.FLOAT in {graph.type(t).dtype for t in n.outputs}
    ]


def interface(model):
    ports = (*model.graph.input, *model.graph.output)
    return [(p.name, p.type.SerializeToString()) for p in ports]


def sqnr_db(expected, computed_values):
    noise = np.square(expected - computed_values, dtype=np.float64).sum()
    signal = np.square(expected, dtype=np.float64).sum()
    return 10 * np.log10(signal / noise) if noise else np.inf


@given(drawn, st.sampled_from([(NOTHING,), (NOTHING, KEPT)]))
@SETTINGS
def test_outputs_are_near_the_float_model(tmp_path, model, rules):
    prepared, _, lowered = inserted(tmp_path, model, rules, "fp16")
    half, rest = lowered.model, lowered.rest
    onnx.checker.check_model(half, full_check=True)
    assert interface(half) == interface(prepared)
    expected = computed(prepared, x=X)
    rounded = computed(with_rounding(half), x=X)
    reference = ReferenceEvaluator(half).run(None, {"x": X})
    for first, second, third in zip(expected, rounded, reference, strict=True):
        assert second.dtype == np.float32
        assert sqnr_db(first, second) > 50
        assert sqnr_db(first, third) > 40  # it sums in float16
    assert all(reason == "kept" or "range" in reason for reason in rest.kept.values())
    assert not in_float(half, rest)


@given(drawn, st.sampled_from([(PAIRS,), (PAIRS, KEPT)]))
@SETTINGS
def test_pairs_stay_as_they_were(tmp_path, model, rules):
    _, quantized, lowered = inserted(tmp_path, model, rules, "fp16")
    half = lowered.model
    onnx.checker.check_model(half, full_check=True)
    assert stored(half) == stored(quantized)
    names = {n.name for n in quantized.graph.node}
    assert {p for p in pairs(half) if p[0] in names and p[2] == "QuantizeLinear"} == {
        p for p in pairs(quantized) if p[2] == "QuantizeLinear"
    }
    outputs = (computed(quantized, x=X), computed(with_rounding(half), x=X))
    for first, second in zip(*outputs, strict=True):
        assert sqnr_db(first, second) > 30  # a value next to a tie is rounded the other way


@given(float_models(), st.sampled_from([(NOTHING,), (PAIRS,), (PAIRS, KEPT)]))
@SETTINGS
def test_bfloat16_is_valid(tmp_path, model, rules):
    prepared, quantized, lowered = inserted(tmp_path, model, rules, "bf16")
    onnx.checker.check_model(lowered.model, full_check=True)
    assert stored(lowered.model) == stored(quantized)
    assert interface(lowered.model) == interface(prepared)
    assert not in_float(lowered.model, lowered.rest)
