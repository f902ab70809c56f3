"""Rule files that are made to break things: each ends soon, with a plan or with errors.

Every command has a bound of time that is generous on a slow machine.
"""

import onnx
import pytest

from tests.cli.forked import onnxq
from tests.onnx_text import model

SECONDS = 600  # against hangs and exponential searches alone, which take far longer
HEAD = "schema: 1\nrules:\n"
MODEL = """
m (float[1,4,8,8] x) => (float[1,4,8,8] y) <float[4,4,1,1] w> {
    [one] a = Conv (x, w)
    [two] y = Relu (a)
}
"""


@pytest.fixture
def here(tmp_path):
    onnx.save(model(MODEL), tmp_path / "model.onnx")
    return tmp_path


def run(here, *arguments):
    """A command that must end in time, with lines of a bounded length and no traceback."""
    process = onnxq(*arguments, cwd=here, seconds=SECONDS)
    assert "Traceback" not in process.stderr, process.stderr[-2000:]
    assert process.returncode in (0, 2), process.stderr[-2000:]
    assert max(map(len, process.stderr.splitlines()), default=0) < 1_000
    assert not (here / "hacked").exists()
    return process


def write(here, content, name="r.yaml"):
    (here / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def planned(here, content):
    """What `onnxq plan` says of a rule file."""
    write(here, content)
    return run(here, "plan", "model.onnx", "--rules", "r.yaml")


def refused(here, code, *contents):
    """What `onnxq rules check` says of files of which each has this error."""
    names = [f"{number}.yaml" for number in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        write(here, content, name)
    told = run(here, "rules", "check", *names).stderr
    for name in names:
        lines = [line for line in told.splitlines() if f"error[{code}]" in line]
        assert any(line.startswith(f"{name}:") or f"'{name}'" in line for line in lines), name
    return told


def rule(match, action="skip: all"):
    return f"{HEAD}  - {{id: a, why: t, match: {match}, {action}}}\n"


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
)


NOT_THE_YAML = [
    BOMB,
    "schema: 1\nrules: " + "[" * 100_000,
    "schema: 1\nrules: " + "{a: " * 100_000,
    "- " * 100_000,
    "\n".join(" " * depth + "a:" for depth in range(2_000)),
    "? " * 100_000,
    "schema: !!python/object/apply:os.system ['touch hacked']\n",
    "!!python/object/new:os.system ['touch hacked']\n",
    "schema: !<tag:yaml.org,2002:python/name:os.system> x\n",
    "schema: 1\n<<: &x {a: 1}\n",
    b"schema: 1 # \xff\xfe\n",
    "schema: 1\n".encode("utf-16"),
    b"schema: 1\x00\n",
    b"\x00" * 1_000_000,
    "schema: 1\n---\nschema: 1\n",
    "schema: 1\n...\n%YAML 1.1\n---\na: 1\n",
    "schema: 1\nschema: 1\n",
    "1: 2\n~: 3\ntrue: 4\n[a, b]: 5\n{a: b}: 6\n",
    "schema: " + "9" * 10_000,
    'schema: "\\U99999999"\n',
    'schema: "\\ud800"\n',
    "%TAG ! tag:example.com,2000:\n---\n!x y\n",
    "schema: |9999999999\n  x\n",
]


def test_not_the_yaml_of_recipes(here):
    refused(here, "OQ102", *NOT_THE_YAML)


NO_RECIPES = [
    b"",
    "# nothing\n\n# at all\n",
    "- schema: 1\n- rules: []\n",
    "just text",
    "null",
    "schema: 1e400\n",
    "schema: .nan\n",
    "schema: 99999999999999999999999999\n",
    "schema: 1\nrules:\n  - - - a\n",
    "schema: 1\nrules: " + "[" * 40 + "]" * 40 + "\n",
    "schema: 1\nextends: [[trt-int8]]\n",
    "schema: 1\ndescriptors: {act: {percentile: 1e999, method: percentile}}\n",
    "x" * 1_000_000,
    "schema: 1\nrules:\n" + "  - x\n" * 20,
]


def test_not_a_recipe(here):
    refused(here, "OQ104", *NO_RECIPES)


def test_long_keys(here):
    assert "kkk" in refused(here, "OQ103", f"schema: 1\n{'k' * 100}: 1\n")
    refused(here, "OQ102", f"schema: 1\n{'k' * 1_000_000}: 1\n")


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + rule("{op: Conv}").encode(),
        rule("{op: Conv}").replace("\n", "\r\n"),
        rule("{op: Conv}").replace("\n", "\r"),
        rule("{op: Conv}").replace("why: t", "why: 'a\tb'"),
        "---\n" + rule("{op: Conv}") + "...\n",
        f"schema: 1\n# {'x' * 1_000_000}\n" + rule("{op: Conv}").removeprefix("schema: 1\n"),
        rule('{op: Conv, name: "**"}').replace("why: t", "why: '" + "x" * 1_000_000 + "'"),
        rule('{op: Conv, name: "' + "*" * 40 + 'e"}'),
    ],
    ids=["mark", "CRLF", "CR", "tab", "document", "long comment", "long text", "stars"],
)
def test_unusual_but_right(here, content):
    outcome = planned(here, content)
    assert outcome.returncode == 0, outcome.stderr
    assert "one input[0] x float - a r.yaml:" in " ".join(outcome.stdout.split())


def test_a_place_after_a_byte_order_mark(here):
    told = refused(here, "OQ103", b"\xef\xbb\xbfschem: 1\n", b"\xef\xbb\xbfschema: 1\nrule: 1\n")
    assert told.startswith("0.yaml:1:1: ")
    assert "1.yaml:2:1: " in told


def test_two_thousand_rules(here):
    one = "  - {{id: r{0}, why: t, match: {{op: Conv, name: 'n{0}/*'}}, skip: all}}\n"
    write(here, HEAD + "".join(map(one.format, range(2_000))), "base.yaml")
    assert planned(here, "schema: 1\nextends: base.yaml\n").returncode == 0


def test_two_thousand_wrong_rules(here):
    told = refused(here, "OQ104", HEAD + "  - {}\n" * 2_000)
    assert "0.yaml:2002:5: " in told


PATTERNS = [
    "Conv(lambda: 0)",
    "(lambda: 0)(x)",
    "(lambda: 0).Conv(x)",
    "__import__('os').system('touch hacked')",
    "Conv(__import__('os').system('touch hacked'))",
    "Conv(x, group=__import__('os').system('touch hacked'))",
    "Conv(x, group=().__class__.__bases__)",
    "Conv(f'{open(1)}')",
    "Conv(x, group=f'{open(1)}')",
    "Concat([x for x in y])",
    "Concat({**x})",
    "Conv(x, **{})",
    "Conv(*x.y)",
    "Conv(await x)",
    "Conv((yield))",
    "Conv(x if y else z)",
    "Conv(x)[0]",
    "Conv(x).Relu(y)",
    "Conv(x); Relu(y)",
    "Conv(x)\\nimport os",
    "import os",
    "Conv(x and y)",
    "Conv(not x)",
    "Conv(-x)",
    "Conv(1 < x)",
    "Conv(x, w, group=[1][0])",
    "Conv(x := y := z)",
    "Conv(" * 5_000 + ")" * 5_000,
    "(" * 100_000,
    "-" * 3_000 + "1",
    "~" * 100_000 + "x",
    "Conv(x, group=" + "9" * 9_000 + ")",
    "Conv | " * 1_200 + "Conv | x",
    "Conv | " * 100_000 + "Conv",
    "a" + ".b" * 4_000,
    "a" + ".b" * 1_000_000,
    "\\0",
    "'" + "x" * 1_000_000 + "'",
    "Conv(\\u2028x y)",
    "ﬀ(x)",
    "_",
    "...",
    "*x",
    "Conv(*const)",
    "#",
    "Conv(x) # y",
]


def test_patterns_are_read_and_never_run(here):
    quoted = ['"' + pattern.replace('"', '\\"') + '"' for pattern in PATTERNS]
    refused(here, "OQ105", *(rule(f"{{pattern: {pattern}}}") for pattern in quoted))


def test_deep_and_long_patterns(here):
    deep = "Conv(" * 50 + "...)" + ", ...)" * 49
    long = " | ".join(["Conv(x, *xs)"] * 300)
    for pattern in (deep, long, "(" * 150 + "Conv" + ")" * 150):
        assert planned(here, rule(f"{{pattern: '{pattern}'}}")).returncode == 0


def test_patterns_that_match_in_very_many_ways(here):
    """Every Add of a chain reads one tensor twice, so that each doubles the ways."""
    adds = "".join(f"a{i + 1} = Add (a{i}, a{i}) " for i in range(40))
    onnx.save(model(f"m (float[1,4] a0) => (float[1,4] a40) {{ {adds} }}"), here / "model.onnx")
    for last in ("_", "v"):
        pattern = "Add(" * 30 + last + ", _)" * 30
        told = planned(here, rule(f"{{pattern: '{pattern}'}}"))
        assert "r.yaml:3:5: error[OQ105]" in told.stderr
        assert "very many ways" in told.stderr


def nested_adds(depth, name):
    return "{pattern: '" + "Add(" * depth + name + ", _)" * depth + "'}"


def test_patterns_under_all_have_one_limit(here):
    """Each pattern alone matches in two ways; together they match in the product of these."""
    adds = "".join(f"r{i} = Relu (a{i}) a{i + 1} = Add (a{i}, r{i}) " for i in range(3))
    onnx.save(model(f"m (float[1,4] a0) => (float[1,4] a3) {{ {adds} }}"), here / "model.onnx")
    for count in (1, 16):
        patterns = ", ".join(f"{{pattern: 'Add(p{n}, q{n})'}}" for n in range(count))
        nested = f"{{all: [{{all: [{patterns}]}}, {{op: Add}}]}}"
        for match in (f"{{all: [{patterns}]}}", nested):
            told = planned(here, rule(match)).stderr
            if count == 1:
                assert "warning[OQ202]" in told
            else:
                assert "r.yaml:3:5: error[OQ105]: rule 'a': the pattern could match in very" in told


def test_four_patterns_of_eight_adds(here):
    adds = "".join(f"a{i + 1} = Add (a{i}, a{i}) " for i in range(40))
    onnx.save(model(f"m (float[1,4] a0) => (float[1,4] a40) {{ {adds} }}"), here / "model.onnx")
    patterns = ", ".join(nested_adds(8, name) for name in "bcde")
    outcome = planned(here, rule(f"{{all: [{patterns}]}}"))
    # The ways of each have the same tensors.
    assert outcome.stdout.count("a      r.yaml:3") == 2 * 33


ENDLESS = nested_adds(30, "v")


@pytest.fixture
def doubling(here):
    """A folder with a model of 40 Adds, in which ENDLESS matches in too many ways to try."""
    adds = "".join(f"a{i + 1} = Add (a{i}, a{i}) " for i in range(40))
    onnx.save(model(f"m (float[1,4] a0) => (float[1,4] a40) {{ {adds} }}"), here / "model.onnx")
    return here


@pytest.mark.parametrize(
    "match",
    [
        ENDLESS,
        f"{{all: [{ENDLESS}]}}",
        f"{{any: [{{op: Relu}}, {ENDLESS}]}}",
        f"{{not: {ENDLESS}}}",
        f"{{producer: {ENDLESS}}}",
        f"{{consumer: {ENDLESS}}}",
        f"{{after: {ENDLESS}}}",
        f"{{before: {ENDLESS}}}",
        f"{{between: [{{op: Add}}, {ENDLESS}]}}",
    ],
    ids=["pattern", "all", "any", "not", "producer", "consumer", "after", "before", "between"],
)
def test_explain_of_what_cannot_be_matched(doubling, match):
    """`explain` says of each rule what it can, and gives the code of what it cannot."""
    matches = {"endless": match, "fine": "{op: Add, position: first}"}
    rules = [f"  - {{id: {id}, why: t, match: {m}, skip: all}}\n" for id, m in matches.items()]
    write(doubling, HEAD + "".join(rules))
    outcome = run(doubling, "explain", "model.onnx", "endless", "--rules", "r.yaml")
    assert outcome.returncode == 0
    assert "very many ways" in outcome.stdout
    assert outcome.stderr.count("error[OQ105]") == 1
    outcome = run(doubling, "explain", "model.onnx", "a0", "--rules", "r.yaml")
    assert "decided by fine" in outcome.stdout


def test_explain_where_several_rules_cannot_be_matched(doubling):
    rule_lines = "".join(
        f"  - {{id: {id}, why: t, match: {ENDLESS}, skip: all}}\n" for id in ("one", "two")
    )
    write(doubling, HEAD + rule_lines)
    outcome = run(doubling, "explain", "model.onnx", "two", "--rules", "r.yaml")
    assert outcome.returncode == 0
    assert outcome.stderr.count("error[OQ105]") == 2


def test_attributes_that_are_no_numbers(here):
    text = """m (bool c) => (float[1] y) { k = Constant <value = float[1] {1}> () [if] y = If (c) <
        then_branch = t () => (float[1] u) { u = Relu (k) },
        else_branch = e () => (float[1] u) { u = Neg (k) }> }"""
    onnx.save(model(text), here / "model.onnx")
    for attr in ("then_branch: '> 1'", "then_branch: '<= 1'", "then_branch: '!= x'"):
        write(here, rule(f"{{op: If, attr: {{{attr}}}}}"))
        told = run(here, "explain", "model.onnx", "a", "--rules", "r.yaml").stdout
        assert "its attribute 'then_branch' is a GraphProto" in told


MATCHES = [
    '{name: "re:' + "(" * 5_000 + '"}',
    '{name: "re:(?P<a>x)(?P<a>x)"}',
    '{name: "re:a{99999999999}"}',
    '{name: "re:' + "(" * 1_000 + ")" * 1_000 + '"}',
    "{attr: {group: '> " + "9" * 5_000 + "x'}}",
    "{shape: {'input[" + "9" * 900 + "]': [1]}}",
    "{position: '" + "9" * 5_000 + ":'}",
    "{op: '" + "x" * 100_000 + "'}",
    "{any: [" * 11 + "{op: Cov}" + "]}" * 11,
]


def test_values_of_match(here):
    refused(here, "OQ104", *map(rule, MATCHES))
    refused(here, "OQ102", rule("{all: [" * 60 + "{op: Conv}" + "]}" * 60), rule("{1: x}"))


PORTS = ["input[" + "9" * 5_000 + "]", "input[٣]", "input[-1]", "x" * 100_000]


def test_ports(here):
    refused(here, "OQ109", *(rule("{op: Conv}", f"skip: '{port}'") for port in PORTS))


def test_descriptors(here):
    refused(here, "OQ106", rule("{op: Conv}", "quantize: {inputs: " + "x" * 100_000 + "}"))
    for axis in ("9" * 40, "-9"):
        weights = f"{{granularity: per_channel, axis: {axis}, method: max}}"
        outcome = planned(here, rule("{op: Conv}", f"quantize: {{weights: {weights}}}"))
        assert "error[OQ206]" in outcome.stderr


FILES = ["x" * 300, "x/" * 3_000, "/dev/zero", "/dev/stdin", "..", "/", "~", "\\0", "0.yaml/a"]


def test_names_of_files(here):
    told = refused(here, "OQ101", *(f'schema: 1\nextends: "{name}"\n' for name in FILES))
    assert told.count(".yaml:2:10: ") == len(FILES)


def test_a_rule_cannot_write_to_the_terminal(here):
    head = 'schema: 1\nrules:\n  - {id: "\\e[31m[bold]\\r\\nx", why: t, '
    told = refused(here, "OQ104", head + "match: {op: Cov}, skip: all}\n")
    assert "\x1b" not in told
    assert "[bold]" in told
    assert len(told.splitlines()) == 3


def test_a_line_of_a_megabyte_is_shown_around_the_place(here):
    text = rule("{op: Conv, name: [" + "a, " * 50_000 + "'re:(']}")
    told = refused(here, "OQ104", text).splitlines()
    assert len(told) == 3
    assert len(told[1]) < 200
    assert told[1][told[2].index("^")] == "("
