"""Laws of planning and inserting, on random graphs and random rules."""

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from onnxq.insertion.insert import insert
from onnxq.insertion.scales import compute_scales
from onnxq.model.graph import Graph
from onnxq.model.preparing import name_nodes
from tests.inserting import computed, ranged
from tests.planning import planned, rule

SETTINGS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
CHANNELS = 2
IDENTITY = np.eye(CHANNELS, dtype=np.float32).reshape(CHANNELS, CHANNELS, 1, 1)


@st.composite
def models(draw):
    """A graph of 1x1 Convs, Relus, Adds, MaxPools and Concats; some nodes have no name.

    All that it computes of -1, 0 and 1 are whole numbers up to 64, which int8 holds exactly.
    """
    tensors, nodes, weights = ["x"], [], []
    for index in range(draw(st.integers(1, 6))):
        op = draw(st.sampled_from(["Conv", "Conv", "Relu", "Add", "MaxPool", "Concat"]))
        inputs, attributes = [draw(st.sampled_from(tensors))], {}
        if op in ("Add", "Concat"):
            inputs.append(draw(st.sampled_from(tensors)))
        if op == "MaxPool":
            attributes = {"kernel_shape": [1, 1]}
        if op == "Concat":
            attributes = {"axis": 2}
            inputs[1] = inputs[0]
        if op == "Conv":
            weights.append(numpy_helper.from_array(IDENTITY, f"w{index}"))
            inputs.append(f"w{index}")
        name = draw(st.sampled_from(["", f"{op}_{index}"]))
        nodes.append(helper.make_node(op, inputs, [f"t{index}"], name=name, **attributes))
        if op != "Concat":
            tensors.append(f"t{index}")
    graph = helper.make_graph(
        nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, 2, 2])],
        [
            helper.make_tensor_value_info(n.output[0], TensorProto.FLOAT, [1, CHANNELS, None, 2])
            for n in nodes
        ],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


ACTIONS = st.fixed_dictionaries(
    {},
    optional={
        "quantize": st.sampled_from(["{inputs: act}", "{outputs: act}", "{weights: weight}"]),
        "share_scale": st.sampled_from(["inputs", "[inputs, outputs]"]),
        "keep_fp32": st.sampled_from(["true", "false"]),
    },
).filter(bool)
MATCHES = st.sampled_from(
    ["{op: Conv}", "{op: [Add, Concat]}", "{op: MaxPool}", '{pattern: "Relu(Conv(...))"}',
     '{pattern: "Add(x, x)"}', '{name: "Conv_*"}', '{name: "**"}']
)  # fmt: skip


@st.composite
def rule_lists(draw):
    """A few rules; some skip what others quantize."""
    rules = []
    for index in range(draw(st.integers(1, 4))):
        actions = draw(st.one_of(ACTIONS, st.just({"skip": "inputs"})))
        rules.append(rule(draw(MATCHES), id=f"r{index}", **actions))
    return rules


def read(model):
    return Graph(name_nodes(onnx.ModelProto.FromString(model.SerializeToString())), digest="d")


def told(plan):
    """A plan as sets, for what has no order of its own."""
    return (
        {(d.tensor, d.edge, d.descriptor, d.because.rule) for d in plan.decisions},
        {(p.tensor, frozenset(p.edges), p.descriptor, p.axis) for p in plan.pairs},
        {frozenset(g.tensors) for g in plan.groups},
        {(k.node, k.choice, k.because.rule) for k in plan.kept},
    )


@given(models(), rule_lists(), st.data())
@SETTINGS
def test_a_rule_that_matches_nothing_changes_nothing(tmp_path, model, rules, data):
    nothing = rule("{op: Einsum}", id="nothing", quantize="{all: flat}", share_scale="all")
    place = data.draw(st.integers(0, len(rules)))
    without = planned(tmp_path, read(model), *rules)
    plan = planned(tmp_path, read(model), *rules[:place], nothing, *rules[place:])
    assert told(plan) == told(without)


@given(models(), rule_lists())
@SETTINGS
def test_a_plan_is_deterministic(tmp_path, model, rules):
    assert planned(tmp_path, read(model), *rules) == planned(tmp_path, read(model), *rules)


def reordered(model, data):
    """The model with its nodes in another order that is topological too."""
    waiting, known, order = list(model.graph.node), {"x"}, []
    known |= {t.name for t in model.graph.initializer}
    while waiting:
        ready = [n for n in waiting if set(n.input) <= known]
        node = data.draw(st.sampled_from(ready))
        waiting.remove(node)
        known.update(node.output)
        order.append(node)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    copy.graph.node.extend(order)
    return copy


@given(models(), rule_lists(), st.data())
@SETTINGS
def test_a_plan_does_not_depend_on_the_order_of_independent_nodes(tmp_path, model, rules, data):
    other = reordered(model, data)
    assert told(planned(tmp_path, read(other), *rules)) == told(
        planned(tmp_path, read(model), *rules)
    )


@given(models(), rule_lists())
@SETTINGS
def test_share_groups_are_a_partition(tmp_path, model, rules):
    plan = planned(tmp_path, read(model), *rules)
    members = [tensor for group in plan.groups for tensor in group.tensors]
    assert len(members) == len(set(members))
    assert all(len(group.tensors) > 1 for group in plan.groups)
    for pair in plan.pairs:
        holding = [i for i, g in enumerate(plan.groups) if pair.tensor in g.tensors]
        assert holding == ([] if pair.group is None else [pair.group])


def stripped(model):
    """Wiring without Q/DQ: every other node's inputs, traced back through the pairs."""
    makers = {n.output[0]: n for n in model.graph.node}

    def origin(tensor):
        maker = makers.get(tensor)
        while maker is not None and maker.op_type in ("QuantizeLinear", "DequantizeLinear"):
            tensor = maker.input[0]
            maker = makers.get(tensor)
        return tensor.removesuffix("_quantized")

    return {
        n.name: [origin(t) for t in n.input]
        for n in model.graph.node
        if n.op_type not in ("QuantizeLinear", "DequantizeLinear")
    }


@given(models(), rule_lists())
@SETTINGS
def test_stripping_gives_back_the_wiring_and_exact_scales_the_values(tmp_path, model, rules):
    graph = read(model)
    plan = planned(tmp_path, graph, *rules)
    made = insert(model, plan, compute_scales(graph, plan, ranged(plan, amax=127.0)))
    onnx.checker.check_model(made, full_check=True)
    named = name_nodes(model)
    assert stripped(made) == {n.name: list(n.input) for n in named.graph.node}
    nodes = {n.name: n for n in made.graph.node}
    for node in named.graph.node:
        kept = onnx.NodeProto()
        kept.CopyFrom(nodes[node.name])
        kept.input[:] = node.input
        assert kept == node
    x = np.float32([[[[1, -1], [0, 1]], [[0, 0], [-1, 1]]]])
    for one, other in zip(computed(made, x=x), computed(model, x=x), strict=True):
        np.testing.assert_array_equal(one, other)
