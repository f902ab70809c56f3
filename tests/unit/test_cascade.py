import pytest

from onnxq.diagnostics import OnnxqError
from onnxq.planning import cascade, recipe
from tests.onnx_text import graph
from tests.planning import codes, decided, planned, recipe_of, rule

CHAIN = graph(
    """
    g (float[1,4,8,8] x) => (float z) <float[4,4,1,1] w, float[4,4,1,1] v, float[4] b> {
        [first] a = Conv (x, w, b)
        [active] r = Relu (a)
        [second] c = Conv (r, v)
        [cat] d = Concat <axis = 1> (r, c)
        [pool] e = MaxPool <kernel_shape = [2,2]> (d)
        [last] z = Add (e, e)
    }
    """
)
ALL = rule("{op: Conv}", id="all", quantize="{inputs: act, weights: weight}")


def refused(folder, *rules, graph_=CHAIN):
    with pytest.raises(OnnxqError) as caught:
        planned(folder, graph_, *rules)
    return caught.value.diagnostics


def test_the_last_matching_rule_wins(tmp_path):
    other = rule("{name: second}", id="other", quantize="{inputs: other}")
    plan = planned(tmp_path, CHAIN, ALL, other)
    assert decided(plan)["r", "second"] == "percentile"
    assert decided(plan)["x", "first"] == "max"
    plan = planned(tmp_path, CHAIN, other, ALL)
    assert decided(plan)["r", "second"] == "max"


def test_losers_are_recorded_oldest_first(tmp_path):
    plan = planned(
        tmp_path,
        CHAIN,
        ALL,
        rule("{name: second}", id="two", quantize="{inputs: other}"),
        rule("{name: second}", id="three", skip="inputs"),
    )
    (decision,) = (d for d in plan.decisions if d.tensor == "r")
    assert decision.because.rule == "three"
    assert [b.rule for b in decision.overrides] == ["all", "two"]
    assert decision.descriptor is None


def test_skip_after_quantize_and_quantize_after_skip(tmp_path):
    skip = rule("{op: Conv}", id="skip", skip="all")
    assert planned(tmp_path, CHAIN, ALL, skip).pairs == ()
    plan = planned(tmp_path, CHAIN, skip, ALL)
    assert len(plan.pairs) == 4
    assert "OQ211" in codes(plan)


def test_skipping_one_use_leaves_the_other(tmp_path):
    plan = planned(
        tmp_path,
        CHAIN,
        rule("{op: [Conv, Concat]}", id="q", quantize="{inputs: act}"),
        rule("{op: Concat}", id="s", skip="'input[0]'"),
    )
    (pair,) = (p for p in plan.pairs if p.tensor == "r")
    assert [e.node for e in pair.edges] == ["second"]


def test_uses_that_agree_fold_into_one_pair(tmp_path):
    both = rule("{op: [Conv, Concat]}", quantize="{inputs: act}")
    (pair,) = (p for p in planned(tmp_path, CHAIN, both).pairs if p.tensor == "r")
    assert [(e.node, e.slot) for e in pair.edges] == [("second", 0), ("cat", 0)]


def test_two_descriptors_on_a_tensor_are_two_pairs(tmp_path):
    plan = planned(
        tmp_path,
        CHAIN,
        rule("{op: Conv}", id="one", quantize="{inputs: act}"),
        rule("{op: Concat}", id="two", quantize="{inputs: other}"),
    )
    pairs = [p for p in plan.pairs if p.tensor == "r"]
    assert [(p.descriptor.method, p.edges[0].node) for p in pairs] == [
        ("max", "second"),
        ("percentile", "cat"),
    ]


def test_both_slots_of_one_node(tmp_path):
    (pair,) = planned(tmp_path, CHAIN, rule("{name: last}", quantize="{inputs: act}")).pairs
    assert [e.slot for e in pair.edges] == [0, 1]


def test_share_groups_are_transitive(tmp_path):
    plan = planned(
        tmp_path,
        CHAIN,
        rule("{op: Concat}", id="cat", share_scale="[inputs, outputs]"),
        rule("{op: MaxPool}", id="pool", share_scale="[inputs, outputs]"),
    )
    (group,) = plan.groups
    assert set(group.tensors) == {"r", "c", "d", "e"}
    assert {b.rule for b in group.because} == {"cat", "pool"}


def test_sharing_makes_no_pairs(tmp_path):
    plan = planned(tmp_path, CHAIN, ALL, rule("{op: Concat}", id="cat", share_scale="inputs"))
    assert {p.tensor for p in plan.pairs} == {"x", "r", "w", "v"}
    assert [p.group for p in plan.pairs if p.tensor == "r"] == [0]
    assert [p.group for p in plan.pairs if p.tensor == "x"] == [None]


def test_shared_pairs_with_unequal_descriptors(tmp_path):
    (found,) = refused(
        tmp_path,
        rule("{name: second}", id="one", quantize="{inputs: act}"),
        rule("{name: pool}", id="two", quantize="{inputs: other}"),
        rule("{op: Concat}", id="cat", share_scale="[inputs, outputs]"),
    )
    assert found.code == "OQ203"
    assert "'r'" in found.message
    assert "'d'" in found.message


def test_weights_share_no_scale(tmp_path):
    found = refused(tmp_path, ALL, rule("{name: second}", id="s", share_scale="all"))
    assert [d.code for d in found] == ["OQ203"]
    assert "the weight 'v'" in found[0].message


def test_per_channel_activation(tmp_path):
    found = refused(tmp_path, rule("{op: Conv}", quantize="{inputs: weight}"))
    assert {d.code for d in found} == {"OQ204"}
    assert all(d.span.line for d in found)


def test_weight_without_a_channel_axis(tmp_path):
    plan = planned(tmp_path, CHAIN, rule("{name: first}", quantize="{'input[2]': weight}"))
    assert "OQ206" in codes(plan)
    assert plan.pairs == ()


def test_weight_with_a_wrong_channel_axis(tmp_path):
    wrong = "{granularity: per_channel, axis: 7, calibrator: max}"
    (found,) = refused(tmp_path, rule("{name: first}", quantize=f"{{'input[1]': {wrong}}}"))
    assert found.code == "OQ206"


def test_ops_in_a_subgraph_of_an_unknown_op_are_told(tmp_path):
    graph_ = graph(
        '<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>'
        "g (float[1,1,4,4] x) => (float[1,1,4,4] y) <float[1,1,1,1] w>"
        " { y = com.example.Often (x) <body = b () => (float[1,1,4,4] z) { z = Conv (x, w) }> }"
    )
    assert "OQ216" in codes(planned(tmp_path, graph_, rule("{op: Relu}", skip="all")))


def test_port_that_the_node_does_not_have(tmp_path):
    for action in ({"quantize": "{'input[7]': act}"}, {"share_scale": "['input[7]', inputs]"}):
        plan = planned(tmp_path, CHAIN, rule("{op: Relu}", id="r", **action))
        assert "OQ207" in codes(plan)


def test_absent_optional_input_is_no_port(tmp_path):
    plan = planned(tmp_path, CHAIN, rule("{name: second}", quantize="{'input[2]': flat}"))
    assert "OQ207" in codes(plan)


def test_only_rules_of_the_named_file_must_match(tmp_path):
    nothing = rule("{op: Gemm}", id="base", skip="all")
    recipe_of(tmp_path, nothing, name="base.yaml")
    (tmp_path / "own.yaml").write_text(
        "schema: 1\nextends: base.yaml\nrules:\n"
        "- {id: own, why: test, match: {op: Einsum}, skip: all}\n"
    )
    from onnxq.planning import cascade, recipe

    plan = cascade.plan(CHAIN, recipe.load(tmp_path / "own.yaml"))
    told = [d for d in plan.diagnostics if d.code == "OQ201"]
    assert [d.span.line for d in told] == [4]
    assert "'own'" in told[0].message


def test_rules_that_quantize_nothing(tmp_path):
    assert "OQ205" in codes(planned(tmp_path, CHAIN, rule("{op: Conv}", skip="all")))
    assert "OQ205" not in codes(planned(tmp_path, CHAIN, ALL))


def test_every_decision_names_its_rule_and_line(tmp_path):
    plan = planned(tmp_path, CHAIN, ALL)
    assert len(plan.decisions) == 4
    for decision in plan.decisions:
        assert decision.because.rule == "all"
        assert decision.because.span.source.strip() == "- id: all"
        assert decision.because.node == decision.edge.node


def test_outputs_are_the_uses_of_what_a_node_makes(tmp_path):
    plan = planned(tmp_path, CHAIN, rule("{op: Relu}", quantize="{outputs: act}"))
    assert {(d.tensor, d.edge.node) for d in plan.decisions} == {("r", "second"), ("r", "cat")}


def test_integer_tensors_are_left_alone_or_refused(tmp_path):
    reshape = graph(
        """
        g (float[1,4] x) => (float z) {
            s = Constant <value_ints = [4]> ()
            n = Shape (x)
            z = Reshape (x, s)
        }
        """
    )
    plan = planned(tmp_path, reshape, rule("{op: Reshape}", quantize="{all: act}"))
    assert [d.tensor for d in plan.decisions] == ["x"]
    (found,) = refused(
        tmp_path, rule("{op: Reshape}", quantize="{'input[1]': flat}"), graph_=reshape
    )
    assert found.code == "OQ213"
    assert "int64" in found.message


@pytest.mark.parametrize(
    ("op", "words"),
    [
        ("com.microsoft.MultiHeadAttention", "no INT8 form of MultiHeadAttention"),
        ("com.microsoft.SparseAttention", "TensorRT has no SparseAttention"),
    ],
)
def test_a_foreign_product_that_tensorrt_has_is_not_denied(op, words):
    text = (
        '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> '
        f"m (float[1,4,8] x) => (float[1,4,8] y) {{ y = {op}<num_heads = 2>(x, x, x) }}"
    )
    (told,) = [d for d in cascade.plan(graph(text), recipe.load("trt-int8")).diagnostics
               if d.code == "OQ220"]  # fmt: skip
    assert words in told.message
