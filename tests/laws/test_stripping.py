"""What insert adds strip takes away, and nothing else changes: on models drawn at random.

The law strip(insert(m)) = m has two readings. Kept in float (`weights="qdq"`), weights are all
there, and the model itself comes back, at the opset that its pairs need. Stored in int8, fp8 or
int4 they are rounded for good: what comes back is m with its quantized weights rounded as their
descriptor says, and everything else m's own. Models in float16 obey it too.
"""

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from onnxq.insertion.half import lower
from onnxq.insertion.insert import insert, with_types
from onnxq.insertion.precision import HALF
from onnxq.insertion.scales import compute_scales
from onnxq.model.constants import Constants
from onnxq.model.graph import Graph
from onnxq.model.pairs import is_pair_op
from onnxq.model.preparing import name_nodes, opset, prepare
from onnxq.model.scopes import nodes
from onnxq.model.strip import strip
from onnxq.quantization import dequantize, quantize
from tests.inserting import computed, ranged
from tests.planning import planned, rule

from .float_models import INPUT, float_models

SETTINGS = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WEIGHTED = "{op: [Conv, ConvTranspose, Gemm, MatMul]}"
FP8 = "{dtype: fp8e4m3}"
FP8_WEIGHT = "{dtype: fp8e4m3, granularity: per_channel}"
INT4 = "{dtype: int4, granularity: per_block, block_size: 32, method: mse}"
RULES = {
    "base": [rule(WEIGHTED, quantize="{inputs: act, weights: weight}")],
    "per tensor": [rule(WEIGHTED, quantize="{inputs: act, weights: flat}")],
    "everything": [rule('{name: "**"}', quantize="{inputs: act}")],
    "activations": [rule(WEIGHTED, quantize="{inputs: act}")],
    "outputs": [rule(WEIGHTED, quantize="{outputs: other}"), rule("{op: Add}", skip="all", id="s")],
    "fp8": [rule(WEIGHTED, quantize=f"{{inputs: {FP8}, weights: {FP8_WEIGHT}}}")],
    "int4": [rule("{op: [Gemm, MatMul]}", quantize=f"{{weights: {INT4}}}")],
    "three types": [
        rule("{op: [Conv, ConvTranspose]}", quantize="{inputs: act, weights: weight}"),
        rule("{op: Gemm}", id="g", quantize=f"{{inputs: {FP8}, weights: {FP8}}}"),
        rule("{op: MatMul}", id="m", quantize=f"{{weights: {INT4}}}"),
    ],
}


@st.composite
def half_models(draw):
    """Models in float16, as exports of trained ones come."""
    model = name_nodes(draw(float_models()))
    return lower(model, HALF["fp16"], kept={}, io_types="half")[0]


MODELS = st.one_of(float_models(), float_models(wide=True), half_models())
X = np.random.default_rng(7).normal(size=INPUT).astype(np.float32)


def made(folder, model, rules, weights):
    """The model as every stage sees it, the plan, the scales, and the Q/DQ model.

    The first has the opset that the types of the plan need.
    """
    seen = prepare(onnx.ModelProto.FromString(model.SerializeToString()))
    graph = Graph(seen, digest="d")
    plan = planned(folder, graph, *RULES[rules])
    scales = compute_scales(graph, plan, ranged(plan))
    result = insert(seen, plan, scales, weights=weights, metadata={"recipe": "r"})
    onnx.checker.check_model(result, full_check=True)
    return with_types(seen, plan), plan, scales, result


def same_bits(one, other):
    x = X.astype(helper.tensor_dtype_to_np_dtype(one.graph.input[0].type.tensor_type.elem_type))
    for a, b in zip(computed(one, x=x), computed(other, x=x), strict=True):
        np.testing.assert_array_equal(a, b)


def nameless(model):
    """The model without names of nodes: onnxruntime refuses two of one name."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    for node in copy.graph.node:
        node.name = ""
    return copy


@given(MODELS, st.sampled_from(list(RULES)))
@SETTINGS
def test_stripping_gives_back_the_model_that_kept_its_weights(tmp_path, model, rules):
    seen, _, _, result = made(tmp_path, model, rules, "qdq")
    back = strip(result)
    assert not back.diagnostics
    assert back.model == seen
    if opset(seen) == opset(model):  # onnxruntime's AveragePool of opset 19 rounds otherwise
        same_bits(back.model, nameless(model))


def rounded(model, plan, scales):
    """The model with every quantized weight as its pair rounds it, for those that it has."""
    constants = Constants(model.graph)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = {n.name: n for n in copy.graph.node}
    for index, pair in enumerate(p for p in plan.pairs if p.kind == "weight"):
        weight = constants.array(pair.tensor)
        how = {"axis": pair.axis, "block_size": pair.descriptor.block_size}
        stored = quantize(weight, scales[pair], dtype=pair.descriptor.dtype, **how)
        values = dequantize(stored, scales[pair], **how).astype(weight.dtype)
        copy.graph.initializer.append(numpy_helper.from_array(values, f"rounded_{index}"))
        for edge in pair.edges:
            nodes[edge.node].input[edge.slot] = f"rounded_{index}"
    return copy


@given(MODELS, st.sampled_from(list(RULES)))
@SETTINGS
def test_stripping_gives_back_the_model_with_rounded_weights(tmp_path, model, rules):
    seen, plan, scales, result = made(tmp_path, model, rules, "int8")
    back = strip(result)
    assert not back.diagnostics
    onnx.checker.check_model(back.model, full_check=True)
    same_bits(back.model, rounded(seen, plan, scales))
    if not any(p.kind == "weight" for p in plan.pairs):
        assert back.model == seen


@given(MODELS, st.sampled_from(list(RULES)), st.sampled_from(["int8", "qdq"]))
@SETTINGS
def test_what_is_not_quantized_is_untouched(tmp_path, model, rules, weights):
    seen, plan, _, result = made(tmp_path, model, rules, weights)
    changed = {(edge.node, edge.slot) for pair in plan.pairs for edge in pair.edges}
    new = [n for n in result.graph.node if is_pair_op(n)]
    old = [n for n in result.graph.node if not is_pair_op(n)]
    names = {n.name for n in old}
    assert [n.name for n in old] == [n.name for n in seen.graph.node if n.name in names]
    before = {n.name: n for n in seen.graph.node}
    for node in old:
        for slot, tensor in enumerate(before[node.name].input):
            if (node.name, slot) in changed:
                node.input[slot] = tensor
        assert node == before[node.name]
    kept = {t.name: t for t in result.graph.initializer}
    weights_gone = {n.name for n in seen.graph.initializer} - set(kept)
    assert bool(weights_gone) <= (weights == "int8")
    assert all(kept[t.name] == t for t in seen.graph.initializer if t.name in kept)
    assert list(result.graph.output) == list(seen.graph.output)
    assert {p.key for p in result.metadata_props} - {"onnxq.recipe"} == {
        p.key for p in seen.metadata_props
    }
    assert len({n.name for n in new} | names) == len(result.graph.node)


@given(MODELS, st.sampled_from(list(RULES)), st.sampled_from(["int8", "qdq"]))
@SETTINGS
def test_the_same_inputs_give_the_same_bytes(tmp_path, model, rules, weights):
    one, other = (made(tmp_path, model, rules, weights)[-1].SerializeToString() for _ in range(2))
    assert one == other


def in_branches(model, own):
    """The model as both branches of an If; its initializers in each branch or outside."""
    inner = onnx.GraphProto()
    inner.CopyFrom(model.graph)
    del inner.input[:]
    if not own:
        del inner.initializer[:]
    node = onnx.helper.make_node(
        "If",
        ["taken"],
        [o.name for o in model.graph.output],
        then_branch=inner,
        else_branch=inner,
    )
    taken = onnx.helper.make_tensor_value_info("taken", onnx.TensorProto.BOOL, [])
    graph = onnx.helper.make_graph(
        [node],
        "both",
        [*model.graph.input, taken],
        model.graph.output,
        [] if own else model.graph.initializer,
    )
    return onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )


@given(float_models(), st.sampled_from(list(RULES)), st.booleans())
@settings(SETTINGS, max_examples=40)
def test_stripping_takes_pairs_out_of_branches(tmp_path, model, rules, own):
    seen, plan, _, result = made(tmp_path, in_branches(model, own), rules, "qdq")
    back = strip(result)
    assert not back.diagnostics
    assert back.model == seen
    inside = [n for scope, n in nodes(result.graph) if scope and n.op_type == "DequantizeLinear"]
    assert inside or all(p.kind == "weight" for p in plan.pairs)
