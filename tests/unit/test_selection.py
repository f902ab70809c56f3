import pytest

from onnxq.diagnostics import OnnxqError
from tests.onnx_text import graph
from tests.planning import codes, planned, recipe_of, rule

BLOCK = graph(
    """
    g (float[1,4,8,8] x) => (float z) <float[4,4,1,1] w, float[4,4,3,3] v, float[1,4,1,1] k> {
        ["/a/conv"] a = Conv <group = 1> (x, w)
        ["/a/relu"] b = Relu (a)
        ["/b/conv"] c = Conv <pads = [1,1,1,1]> (b, v)
        ["/b/leaky"] d = LeakyRelu <alpha = 0.1> (c)
        ["/add"] e = Add (d, x)
        ["/scaled"] f = Mul (k, e)
        ["/cat"] g = Concat <axis = 1> (x, b, f)
        ["/twice"] h = Add (g, g)
        ["/pool"] i = MaxPool <kernel_shape = [2,2], auto_pad = "SAME_UPPER"> (h)
        ["/end"] z = Add (i, i)
    }
    """
)


def selected(folder, match):
    """Names of the nodes that a match selects."""
    plan = planned(folder, BLOCK, rule(match, quantize="{all: act}", id="r"))
    return {d.because.node for d in plan.decisions}


def bound(folder, pattern, name, target=BLOCK):
    """Tensors that a name of a pattern stands for, by node."""
    text = rule(f'{{pattern: "{pattern}"}}', share_scale=f"[{name}, outputs]")
    (one,) = recipe_of(folder, text).rules
    return {
        node.name: way[name].tensors for node, ways in one.selector.select(target) for way in ways
    }


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{op: Relu}", {"/a/relu"}),
        ("{op: [Relu, LeakyRelu]}", {"/a/relu", "/b/leaky"}),
        ('{name: "/a/relu"}', {"/a/relu"}),
        ('{name: "*"}', set()),
        ('{name: "/*"}', {"/add", "/scaled", "/cat", "/twice", "/pool", "/end"}),
        ('{name: "/a/*", op: Relu}', {"/a/relu"}),
        ('{name: "**relu"}', {"/a/relu"}),
        ('{name: "/?dd"}', {"/add"}),
        ('{name: "re:/(add|cat)"}', {"/add", "/cat"}),
        ('{name: "re:/ad"}', set()),
        ('{name: ["/add", "/cat"], op: Add}', {"/add"}),
        ('{name: "/a.relu"}', set()),
    ],
)
def test_op_and_name(tmp_path, match, expected):
    assert selected(tmp_path, match) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("Relu", {"/a/relu"}),
        ("Relu(...)", {"/a/relu"}),
        ("Relu(_)", {"/a/relu"}),
        ("Relu(x)", {"/a/relu"}),
        ("Relu()", set()),
        ("Relu(x, y)", set()),
        ("Relu(Conv)", {"/a/relu"}),
        ("Relu(Conv(_, const))", {"/a/relu"}),
        ("Relu(Conv(const, _))", set()),
        ("Relu(Relu)", set()),
        ("LeakyRelu(Conv(Relu(Conv(x, ...)), ...))", {"/b/leaky"}),
        ("Add(LeakyRelu, skip)", {"/add"}),
        ("Add(skip, LeakyRelu)", {"/add"}),
        ("Add(LeakyRelu(Conv(Relu(Conv(skip, ...)), ...)), skip)", {"/add"}),
        ("Add(LeakyRelu(Conv(skip, ...)), skip)", set()),
        ("Add(x, x)", {"/twice", "/end"}),
        ("Mul(Add, const)", {"/scaled"}),
        ("Mul(const, Add)", {"/scaled"}),
        ("Concat(Relu, ...)", set()),
        ("Concat(_, Relu, ...)", {"/cat"}),
        ("Concat(*xs)", {"/cat"}),
        ("(Relu | LeakyRelu)(x)", {"/a/relu", "/b/leaky"}),
        ("Relu | Concat", {"/a/relu", "/cat"}),
        ("(Relu | LeakyRelu)((Conv | Add))", {"/a/relu", "/b/leaky"}),
        ("LeakyRelu(..., alpha=0.1)", {"/b/leaky"}),
        ("LeakyRelu(..., alpha=0.2)", set()),
        ("MaxPool(..., kernel_shape=[2, 2])", {"/pool"}),
        ("MaxPool(..., kernel_shape=(2, 2))", {"/pool"}),
        ("MaxPool(..., kernel_shape=[2])", set()),
        ("MaxPool(..., auto_pad='SAME_UPPER')", {"/pool"}),
        ("MaxPool(..., ceil_mode=0)", {"/pool"}),
        ("MaxPool(..., ceil_mode=1)", set()),
        ("Relu(Conv(..., group=1))", {"/a/relu"}),
    ],
)
def test_pattern(tmp_path, pattern, expected):
    assert selected(tmp_path, f'{{pattern: "{pattern}"}}') == expected


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("Add(LeakyRelu, skip)", "skip", {"/add": ("x",)}),
        ("Concat(first, *xs)", "xs", {"/cat": ("b", "f")}),
        ("Concat(first, *xs)", "first", {"/cat": ("x",)}),
        ("y := Relu(x)", "y", {"/a/relu": ("b",)}),
        ("LeakyRelu(c := Conv(...))", "c", {"/b/leaky": ("c",)}),
        ("Relu(s) | LeakyRelu(s)", "s", {"/a/relu": ("a",), "/b/leaky": ("c",)}),
    ],
)
def test_what_names_stand_for(tmp_path, pattern, name, expected):
    assert bound(tmp_path, pattern, name) == expected


def test_a_name_that_only_some_alternatives_bind_is_no_port(tmp_path):
    with pytest.raises(OnnxqError) as caught:
        recipe_of(tmp_path, rule('{pattern: "Relu(s) | LeakyRelu"}', skip="s"))
    assert [d.code for d in caught.value.diagnostics] == ["OQ109"]


def test_a_repeated_rest_stands_for_the_same_inputs(tmp_path):
    two = graph(
        """
        g (float[1,4] x, float[1,4] y) => (float z) {
            a = Concat <axis=1> (x, y)
            b = Concat <axis=1> (x, y)
            c = Concat <axis=1> (y, x)
            [same] d = Add (a, b)
            [other] e = Add (b, c)
            z = Concat <axis=1> (d, e)
        }
        """
    )
    assert bound(tmp_path, "Add(Concat(*xs), Concat(*xs))", "xs", two) == {"same": ("x", "y")}


def test_the_anonymous_rest_binds_nothing(tmp_path):
    assert selected(tmp_path, '{pattern: "Add(Concat(*_), Concat(*_))"}') == {"/twice"}


def test_both_inputs_of_an_add_are_convs(tmp_path):
    downsample = graph(
        """
        g (float[1,4,8,8] x) => (float z) <float[4,4,1,1] w, float[4,4,1,1] v> {
            a = Conv (x, w)
            b = Conv (x, v)
            [add] z = Add (a, b)
        }
        """
    )
    plan = planned(
        tmp_path, downsample, rule('{pattern: "Add(Conv(...), skip)"}', quantize="{skip: act}")
    )
    assert plan.decisions == ()
    (told, _) = plan.diagnostics
    assert told.code == "OQ202"
    assert "'skip' can be 'b' or 'a'" in told.message


def test_ambiguity_of_a_name_that_one_way_does_not_bind(tmp_path):
    plan = planned(
        tmp_path, BLOCK, rule('{pattern: "Relu((Conv | Conv(p, ...)))"}', quantize="{all: act}")
    )
    assert codes(plan)[0] == "OQ202"


def test_a_custom_domain(tmp_path):
    custom = graph(
        """
        <ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>
        g (float[1,4] x) => (float z) {
            a = com.example.Thing (x)
            z = Relu (a)
        }
        """
    )
    plan = planned(
        tmp_path, custom, rule('{op: "com.example::Thing"}', quantize="{'input[0]': act}")
    )
    assert [d.tensor for d in plan.decisions] == ["x"]
