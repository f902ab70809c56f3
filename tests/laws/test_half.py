"""`insert --float` on models drawn at random: valid, near the model itself, pairs as they were."""

import numpy as np
import onnx
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from onnxq.calibration.calibrate import calibrate, observed_tensors
from onnxq.insertion.half import lower
from onnxq.insertion.insert import insert
from onnxq.insertion.precision import HALF, choose, held
from onnxq.insertion.scales import compute_scales
from onnxq.model.graph import Graph
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.model.io import prepare
from onnxq.model.pairs import PAIR_OPS
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
X = np.random.default_rng(7).normal(size=INPUT).astype(np.float32)


def inserted(folder, model, rules, name):
    """The model as stages see it, its Q/DQ model in float32, and the same in half precision."""
    seen = prepare(onnx.ModelProto.FromString(model.SerializeToString()))
    graph, half = Graph(seen, digest="d"), HALF[name]
    plan = planned(folder, graph, *rules)
    tensors = observed_tensors(graph, plan)
    statistics = calibrate(seen, graph, InMemory({"x": X}), tensors=tensors, plan=plan)
    choice = choose(graph, plan, statistics, half)
    scales = held(compute_scales(graph, plan, statistics), graph, choice, half)
    made = insert(seen, plan, scales)
    return seen, made, lower(made, half, kept=choice.kept)


def values(model):
    """Every value that a model computes; onnxruntime refuses two nodes of one name."""
    made = [name for node in model.graph.node for name in node.output]
    return computed(with_inner_outputs(model, made), x=X)


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


def sqnr_db(expected, found):
    noise = np.square(expected - found, dtype=np.float64).sum()
    signal = np.square(expected, dtype=np.float64).sum()
    return 10 * np.log10(signal / noise) if noise else np.inf


@given(float_models(), st.sampled_from([(NOTHING,), (NOTHING, KEPT)]))
@SETTINGS
def test_outputs_are_near_where_half_precision_holds_every_value(tmp_path, model, rules):
    seen, _, (half, rest) = inserted(tmp_path, model, rules, "fp16")
    assume(max(np.abs(v).max() for v in values(seen) if v.dtype == np.float32) < 6e4)
    onnx.checker.check_model(half, full_check=True)
    assert interface(half) == interface(seen)
    for one, other in zip(computed(seen, x=X), computed(half, x=X), strict=True):
        assert other.dtype == np.float32
        assert sqnr_db(one, other) > 50
    assert all(reason == "kept" or "range" in reason for reason in rest.kept.values())
    assert not in_float(half, rest)


@given(float_models(), st.sampled_from([(PAIRS,), (PAIRS, KEPT)]))
@SETTINGS
def test_pairs_stay_as_they_were(tmp_path, model, rules):
    seen, made, (half, _) = inserted(tmp_path, model, rules, "fp16")
    assume(max(np.abs(v).max() for v in values(seen) if v.dtype == np.float32) < 6e4)
    onnx.checker.check_model(half, full_check=True)
    assert stored(half) == stored(made)
    names = {n.name for n in made.graph.node}
    assert {p for p in pairs(half) if p[0] in names and p[2] == "QuantizeLinear"} == {
        p for p in pairs(made) if p[2] == "QuantizeLinear"
    }
    for one, other in zip(computed(made, x=X), computed(half, x=X), strict=True):
        assert sqnr_db(one, other) > 30  # a value next to a tie is rounded the other way


@given(float_models(), st.sampled_from([(NOTHING,), (PAIRS,), (PAIRS, KEPT)]))
@SETTINGS
def test_bfloat16_is_valid(tmp_path, model, rules):
    seen, made, (half, rest) = inserted(tmp_path, model, rules, "bf16")
    onnx.checker.check_model(half, full_check=True)
    assert stored(half) == stored(made)
    assert interface(half) == interface(seen)
    assert not in_float(half, rest)
