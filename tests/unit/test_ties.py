"""Which tensors leave a tie, and what becomes of their pairs."""

import numpy as np
import pytest

import onnxq
from onnxq.diagnostics import OnnxqError
from onnxq.insertion.scales import compute_scales
from onnxq.insertion.ties import settled
from onnxq.model.graph import Graph
from onnxq.model.preparing import name_nodes
from onnxq.planning import plan_file
from onnxq.planning.plan import Because, Span, Tie
from onnxq.planning.recipe import Recipe
from onnxq.planning.ties import joined
from tests.onnx_text import model
from tests.planning import planned, rule
from tests.unit.test_scales import observed

LIMITED = "{ports: [inputs, outputs], within: 4}"
CONVS = rule("{op: Conv}", id="convs", quantize="{inputs: act}")
AT_CAT = rule("{op: Concat}", id="at-cat", quantize="{inputs: act}")
CAT = rule("{op: Concat}", id="cat", share_scale=LIMITED)
POOL = rule("{op: MaxPool}", id="pool", share_scale=LIMITED)


def graph(text):
    return Graph(name_nodes(model(text)), digest="d")


FLOW = graph("""
g (float[1,4,8,8] x) => (float y, float z) <float[4,4,1,1] w, float[4,8,1,1] v> {
    [stem] f = Relu (x)
    [flow] b = Tanh (x)
    [cat] k = Concat <axis = 1> (f, b)
    [after] y = Conv (k, v)
    [aside] z = Conv (f, w)
}
""")
POOLED = graph("""
g (float[1,4,8,8] x) => (float y, float z, float u) <float[4,4,1,1] w, float[4,12,1,1] v> {
    [stem] f = Relu (x)
    [pool] p = MaxPool <kernel_shape = [3,3], pads = [1,1,1,1]> (f)
    [flow] b = Tanh (x)
    [cat] k = Concat <axis = 1> (f, p, b)
    [after] y = Conv (k, v)
    [aside] z = Conv (f, w)
    [below] u = Conv (p, w)
}
""")


def tie(node, *tensors, within=4.0):
    span = Span(file="r.yaml", line=1, column=1)
    return Tie(
        tensors=tensors, within=within, because=Because(rule="r", why="", span=span, node=node)
    )


def groups(ties, ranges):
    after, left = settled(ties, ranges)
    return [set(g.tensors) for g in joined(after)], {(u.tensor, u.tie.because.node) for u in left}


def test_ranges_at_the_limit_stay():
    assert groups([tie("cat", "a", "b")], {"a": 1, "b": 4}) == ([{"a", "b"}], set())
    assert groups([tie("cat", "a", "b")], {"a": 1, "b": 4.01}) == ([], {("a", "cat")})


def test_a_tie_without_a_limit_holds_whatever_the_ranges():
    unlimited = tie("cat", "a", "b", within=None)
    assert groups([unlimited], {"a": 1, "b": 1000}) == ([{"a", "b"}], set())


def test_what_leaves_stays_tied_to_what_is_as_small():
    ties = [tie("pool", "a", "b"), tie("cat", "b", "c")]
    assert groups(ties, {"a": 1, "b": 1.2, "c": 100}) == ([{"a", "b"}], {("b", "cat")})


def test_a_tensor_without_a_pair_passes_the_tie_on():
    ties = [tie("pool", "a", "p"), tie("cat", "p", "c")]
    assert groups(ties, {"a": 1, "c": 2})[0] == [{"a", "p", "c"}]
    assert groups(ties, {"a": 1, "c": 100}) == ([{"p", "c"}], {("a", "pool")})


def test_a_chain_does_not_drift():
    ties = [tie("one", "a", "b"), tie("two", "b", "c"), tie("three", "c", "d")]
    remaining, _ = groups(ties, {"a": 1, "b": 3, "c": 9, "d": 27})
    assert remaining == [{"a", "b"}, {"c", "d"}]


def test_zeros_fit_every_scale():
    assert groups([tie("cat", "a", "b")], {"a": 0, "b": 100}) == ([{"a", "b"}], set())


def scales_of(folder, view, statistics, *rules):
    """Scale by tensor and reader, and the diagnostics."""
    plan = planned(folder, view, *rules)
    computed = compute_scales(view, plan, statistics)
    by_edge = {
        (pair.tensor, edge.node): float(scale * 127)
        for pair, scale in computed.by_pair.items()
        for edge in pair.edges
    }
    return by_edge, [(d.code, d.message) for d in computed.diagnostics]


def test_a_narrow_branch_keeps_its_scale(tmp_path):
    narrow = observed(f=[1], k=[1, 40])
    by_edge, told = scales_of(tmp_path, FLOW, narrow, CONVS, CAT)
    assert by_edge == pytest.approx({("k", "after"): 40, ("f", "aside"): 1})
    ((code, message),) = told
    assert code == "OQ457"
    for word in ("'cat'", "r.yaml:", "'f'", "40 times", "limit of 4"):
        assert word in message


def test_ranges_within_the_limit_share(tmp_path):
    by_edge, told = scales_of(tmp_path, FLOW, observed(f=[1], k=[1, 4]), CONVS, CAT)
    assert by_edge == pytest.approx({("k", "after"): 4, ("f", "aside"): 4})
    assert told == []


def test_the_concat_reads_what_left_with_the_scale_of_the_group(tmp_path):
    narrow = observed(f=[1], b=[40], k=[1, 40])
    by_edge, _ = scales_of(tmp_path, FLOW, narrow, CONVS, AT_CAT, CAT)
    assert by_edge[("f", "cat")] == by_edge[("b", "cat")] == by_edge[("k", "after")]
    assert by_edge[("f", "aside")] == pytest.approx(1)


def test_a_branch_that_only_the_concat_reads_is_not_told(tmp_path):
    small = observed(f=[40], b=[1], k=[40])
    by_edge, told = scales_of(tmp_path, FLOW, small, CONVS, AT_CAT, CAT)
    assert list(by_edge.values()) == pytest.approx([40] * 4)
    assert told == []


def test_both_sides_of_a_pool_leave_together(tmp_path):
    small = observed(f=[1], p=[1.5], k=[1, 40])
    by_edge, told = scales_of(tmp_path, POOLED, small, CONVS, CAT, POOL)
    assert by_edge[("f", "aside")] == by_edge[("p", "below")] == pytest.approx(1.5)
    assert [code for code, _ in told] == ["OQ457", "OQ457"]


def test_an_unlimited_tie_of_unequal_ranges_is_told(tmp_path):
    unlimited = rule("{op: Concat}", id="cat", share_scale="[inputs, outputs]")
    by_edge, told = scales_of(tmp_path, FLOW, observed(f=[1], k=[40]), CONVS, unlimited)
    assert by_edge[("f", "aside")] == pytest.approx(40)
    assert [code for code, _ in told] == ["OQ458"]
    assert scales_of(tmp_path, FLOW, observed(f=[1], k=[8]), CONVS, unlimited)[1] == []


def test_the_last_rule_at_the_node_sets_the_limit(tmp_path):
    wide = rule("{op: Concat}", id="wide", share_scale="{ports: [inputs, outputs], within: 50}")
    by_edge, told = scales_of(tmp_path, FLOW, observed(f=[1], k=[40]), CONVS, CAT, wide)
    assert by_edge[("f", "aside")] == pytest.approx(40)
    assert told == []


def test_a_saved_plan_gives_the_same_scales(tmp_path):
    statistics = observed(f=[1], b=[40], p=[1.5], k=[1, 40])
    for view in (FLOW, POOLED):
        plan = planned(tmp_path, view, CONVS, AT_CAT, CAT, POOL)
        path = tmp_path / "saved.plan"
        path.write_text(plan_file.to_text(plan))
        saved = plan_file.load(path, view)
        assert saved.lines == plan.lines
        assert not saved.edited
        new, old = (compute_scales(view, p, statistics) for p in (saved, plan))
        assert [(p.tensor, p.edges) for p in new.by_pair] == [
            (p.tensor, p.edges) for p in old.by_pair
        ]
        assert list(new.by_pair.values()) == list(old.by_pair.values())
        assert [d.message for d in new.diagnostics] == [d.message for d in old.diagnostics]


def test_names_with_commas_in_a_saved_plan(tmp_path):
    proto = model("""
    g (float[1,4,8,8] x) => (float y) <float[4,8,1,1] v> {
        [stem] f = Relu (x) [cat] k = Concat <axis = 1> (f, x) [after] y = Conv (k, v)
    }
    """)
    stem, cat, _ = proto.graph.node
    stem.output[0] = cat.input[0] = "f, g"
    view = Graph(name_nodes(proto), digest="d")
    plan = planned(tmp_path, view, CONVS, AT_CAT, CAT)
    path = tmp_path / "saved.plan"
    path.write_text(plan_file.to_text(plan))
    saved = plan_file.load(path, view)
    assert saved.lines == plan.lines
    assert [g.tensors for g in saved.groups] == [("f, g", "x", "k")]


def test_a_group_label_in_a_saved_plan_that_was_edited_by_hand(tmp_path):
    path = tmp_path / "saved.plan"
    path.write_text(plan_file.to_text(planned(tmp_path, FLOW, CONVS, AT_CAT, CAT)))
    text = path.read_text()
    path.write_text("\n".join(line for line in text.splitlines() if "share_scale" not in line))
    (group,) = plan_file.load(path, FLOW).groups  # as an older onnxq wrote it
    assert (set(group.tensors), [t.within for t in group.ties]) == ({"f", "b", "k"}, [None])
    lines = [s.replace("  g1  ", "  -  ") if s.startswith("aside") else s for s in text.split("\n")]
    path.write_text("\n".join(lines))
    assert plan_file.load(path, FLOW).edited


@pytest.mark.parametrize(
    "written", ["share_scale:within(0.5)", "share_scale:within(x)", "share_scale:wide"]
)
def test_a_tie_in_a_saved_plan_that_cannot_be_read(tmp_path, written):
    path = tmp_path / "saved.plan"
    text = plan_file.to_text(planned(tmp_path, FLOW, CONVS, AT_CAT, CAT))
    path.write_text(text.replace("share_scale:within(4)", written))
    with pytest.raises(OnnxqError) as caught:
        plan_file.load(path, FLOW)
    assert [d.code for d in caught.value.diagnostics] == ["OQ212"]


def test_replacing_the_scale_of_what_left_leaves_the_group_alone(tmp_path):
    plan = planned(tmp_path, FLOW, CONVS, AT_CAT, CAT)
    computed = compute_scales(FLOW, plan, observed(f=[1], b=[40], k=[1, 40]))
    assert computed.untied == ("f",)
    assert computed.to_dict()["untied"] == ["f"]
    assert "not tied, for their ranges: f" in str(computed)
    edited = computed.replaced(("f", "aside"), 0.5)
    assert edited["f", "aside"] == 0.5
    assert edited["k"] == computed["k"]
    assert edited["f", "cat"] == computed["k"]
    assert np.isclose(computed.replaced("k", 0.25)["f", "cat"], 0.25)


def test_the_page_has_the_plan_as_it_was_carried_out(tmp_path):
    text = """
    g (float[1,4,8,8] x) => (float[1,4,8,8] y, float[1,4,8,8] z)
    <float[4,4,1,1] w, float[4,8,1,1] v, float c = {100}> {
        [stem] f = Relu (x)
        [flow] b = Mul (x, c)
        [cat] k = Concat <axis = 1> (f, b)
        [after] y = Conv (k, v)
        [aside] z = Conv (f, w)
    }
    """
    data = [{"x": np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)}]
    recipe = Recipe.from_dict({"schema": 1, "extends": "trt-int8"}, name="mine")
    result = onnxq.quantize(
        model(text), data, recipe, backend="onnxruntime", html=tmp_path / "page.html"
    )
    assert [d.code for d in result.inserted.scales.diagnostics] == ["OQ457"]
    (origin,) = result.report.lineage.origins
    groups = {p.tensor: p.group for p in origin.plan.pairs if p.kind == "activation"}
    assert groups["f"] != groups["k"]
    assert "one scale with" not in (tmp_path / "page.html").read_text()
