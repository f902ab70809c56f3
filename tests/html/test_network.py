"""The network as a picture: what is drawn, where it stands, and the page in a real Chromium."""

import itertools
import json

import onnx
import pytest

import onnxq
from onnxq.render.network import drawing, network, placements
from onnxq.render.network.layout import layout
from tests.cli.forked import onnxq as command
from tests.command import succeeded
from tests.onnx_text import graph, model

from .conftest import HOSTILE, IN_CHROMIUM, TENSOR, Page, hostile_model, running_scripts

RESIDUAL = """
residual (float[1,4,8,8] x) => (float[1,4,8,8] y) <float[4,4,3,3] v, float[4,4,3,3] w> {
    [one] a = Constant <value = float {1.0}> ()
    [shifted] s = Add (x, a)
    [left] l = Conv <pads = [1,1,1,1]> (s, v)
    [active] r = Relu (l)
    [right] q = Conv <pads = [1,1,1,1]> (r, w)
    [sum] y = Add (q, s)
}
"""
LOOPING = """
looping (float[4] x, bool c) => (float[4] y) {
    [either] z = If (c) <
        then_branch = one () => (float[4] t) { [inner] t = Relu (x) },
        else_branch = two () => (float[4] e) { [other] e = Neg (x) }
    >
    [last] y = Abs (z)
}
"""


def chain(blocks):
    """A model of so many blocks, each of a Conv, a Relu and an Add around both."""
    lines, before = [], "x"
    for number in range(blocks):
        conv, relu, added = (f"{name}{number}" for name in ("conv", "relu", "sum"))
        lines += [
            f"[{conv}] {conv} = Conv ({before}, w)",
            f"[{relu}] {relu} = Relu ({conv})",
            f"[{added}] {added} = Add ({relu}, {before})",
        ]
        before = added
    body = "\n".join((*lines, f"y = Identity ({before})"))
    return model(f"chain (float[1,4,4,4] x) => (float[1,4,4,4] y) <float[4,4,1,1] w> {{ {body} }}")


def test_constants_are_not_drawn_and_ports_are():
    drawn = network(graph(RESIDUAL))
    assert [(box.kind, box.name) for box in drawn.boxes] == [
        ("input", "x"), ("node", "shifted"), ("node", "left"), ("node", "active"),
        ("node", "right"), ("node", "sum"), ("output", "y"),
    ]  # fmt: skip
    names = [box.name for box in drawn.boxes]
    assert [(names[w.begin], names[w.end], w.tensor, w.shape) for w in drawn.wires][-3:] == [
        ("right", "sum", "q", "1x4x8x8"), ("shifted", "sum", "s", "1x4x8x8"),
        ("sum", "y", "y", "1x4x8x8"),
    ]  # fmt: skip


def test_bodies_stand_before_their_node():
    drawn = network(graph(LOOPING))
    names = [box.name for box in drawn.boxes]
    lines = {(names[wire.begin], names[wire.end]) for wire in drawn.wires}
    assert lines >= {("inner", "either"), ("other", "either"), ("x", "inner"), ("either", "last")}


def test_a_layout_has_a_place_for_every_box_below_those_that_it_reads():
    lines = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (4, 5)]
    placed = layout(7, lines)
    assert len(set(placed.places)) == 7
    for begin, end in lines:
        route = placed.routes[begin, end]
        assert route[0] == placed.places[begin]
        assert route[-1] == placed.places[end]
        assert all(down > up for (_, up), (_, down) in itertools.pairwise(route))
    assert placed == layout(7, lines)


def test_a_layout_of_a_loop_and_of_nothing():
    assert len(layout(2, [(0, 1), (1, 0)]).places) == 2
    assert layout(0, []).places == ()
    assert len(set(layout(3, []).places)) == 3


def test_types_and_rules_are_those_of_the_plan():
    plan = onnxq.plan(model(RESIDUAL), "trt-int8")
    placed = placements(network(plan.graph), plan)
    assert placed.types == {
        "shifted": "rest", "left": "int8", "active": "rest", "right": "int8", "sum": "int8",
    }  # fmt: skip
    lines = {line.tensor: line for line in plan.lines if line.node == "left"}
    for decided in placed.inputs["left"]:
        line = lines[decided["tensor"]]
        assert (decided["descriptor"], decided["rule"], decided["where"]) == (
            line.descriptor, line.rule, line.where,
        )  # fmt: skip
    assert ("s", "sum") in placed.paired
    assert ("q", "sum") not in placed.paired


def test_a_product_without_a_pair_is_float(tmp_path):
    rules = tmp_path / "own.yaml"
    rules.write_text(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "  - {id: end, why: it is small, match: {name: right}, skip: [all]}\n"
    )
    plan = onnxq.plan(model(RESIDUAL), rules)
    assert placements(network(plan.graph), plan).types["right"] == "float"


def test_names_of_a_model_are_text(tmp_path):
    plan = onnxq.plan(hostile_model())
    path = tmp_path / "plan.html"
    path.write_text(plan.to_html("<b>model</b>"), encoding="utf-8")
    page = Page(path)
    assert len(running_scripts(page)) == 1
    assert not page.all("b", onerror="alert(2)")
    assert "<b>model</b>" in page.words("model")
    data = json.loads(page.words("graph-data"))
    assert [box["name"] for box in data["boxes"]] == ["x", HOSTILE, "active", "second", "y"]
    assert TENSOR in data["boxes"][3]["inputs"][0]


def test_too_many_boxes_are_not_drawn():
    relus = "\n".join(f"t{number + 1} = Relu (t{number})" for number in range(5000))
    large = model(f"large (float[4] t0) => (float[4] t5000) {{ {relus} }}")
    text = onnxq.plan(large).to_html()
    assert '<g class="box' not in text
    assert "it has 5,002 nodes, inputs and outputs, over 5,000" in text


def test_types_that_nobody_knows_are_drawn():
    plan = onnxq.plan(model(RESIDUAL))
    drawn = network(plan.graph)
    types = {"left": "unknown", "right": "tf32"}
    made = drawing(drawn, placements(drawn, plan), types)
    assert made.types == {"int8": 1, "rest": 2, "unknown": 1, "tf32": 1}


def test_too_many_long_lines_are_not_drawn():
    lines = [f"t{n + 1} = Relu (t{n})" for n in range(1000)]
    lines += [f"o{n} = Add (t0, t{n})" for n in range(0, 1000, 5)]
    text = "many (float[4] t0) => (float[4] t1000) {{ {} }}"
    assert network(graph(text.format("\n".join(lines)))).why_not_drawn.startswith("its lines cross")
    assert not network(graph(text.format("\n".join(lines[:1000])))).why_not_drawn


def test_the_command_writes_the_page(tmp_path):
    onnx.save(hostile_model(), tmp_path / "model.onnx")
    done = succeeded(command("plan", "model.onnx", "--html", "plan.html", cwd=tmp_path))
    assert done.stdout.splitlines()[-1] == "page: plan.html"
    assert Page(tmp_path / "plan.html").words("model") == "trt-int8 on model.onnx"


@pytest.fixture
def opened(browser, tmp_path):
    """Open a page; afterwards nothing was complained of or asked for."""
    contexts, heard = [], []

    def opened(path, fragment="", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda failed: heard.append(str(failed)))
        page.on("request", lambda request: heard.append(request.url))
        page.goto(path.as_uri() + fragment)
        assert heard.pop(0).startswith(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert heard == []


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The page of a plan of 3,001 nodes."""
    path = tmp_path_factory.mktemp("large") / "plan.html"
    path.write_text(onnxq.plan(chain(1000)).to_html("chain.onnx"), encoding="utf-8")
    return path


@IN_CHROMIUM
def test_find_choose_and_walk_in_3000_nodes(opened, large):
    page = opened(large)
    assert page.locator("g.box").count() == 3003
    page.locator("#graph input").fill("conv700")
    assert page.locator("#graph output").inner_text() == "1 of 3003"
    page.keyboard.press("Enter")
    facts = page.locator(".graph-facts")
    assert "conv700" in facts.inner_text()
    assert "int8:per_tensor" in facts.inner_text()
    view, chosen = (page.locator(s).bounding_box() for s in (".graph-view", "g.box.chosen"))
    assert view["x"] < chosen["x"] < view["x"] + view["width"]
    assert view["y"] < chosen["y"] < view["y"] + view["height"]
    page.locator(".graph-view").focus()
    page.keyboard.press("ArrowDown")
    assert "relu700" in facts.inner_text()
    page.keyboard.press("ArrowUp")
    assert "conv700" in facts.inner_text()
    page.keyboard.press("Escape")
    assert facts.inner_text() == "No box is chosen."


@IN_CHROMIUM
def test_a_link_chooses_a_box_and_keys_filter(opened, large):
    page = opened(large, "#node=relu3")
    assert "relu3" in page.locator(".graph-facts").inner_text()
    page.locator("[data-type=int8]").click()
    faint = page.locator("g.box.faint").count()
    assert faint == 3003 - page.locator("g.box.int8").count()
    page.locator("[data-type=int8]").click()
    assert page.locator("g.box.faint").count() == 0


@IN_CHROMIUM
def test_it_zooms_and_pans(opened, large):
    page = opened(large)
    width = "Number(document.querySelector('.graph-view svg').getAttribute('width'))"
    page.locator("[data-zoom='1']").click()
    before = page.evaluate(width)
    page.locator("[data-zoom='0.8']").click()
    assert page.evaluate(width) == pytest.approx(0.8 * before)
    scrolled = "document.querySelector('.graph-view').scrollTop"
    page.locator("#graph").evaluate("e => e.scrollIntoView({behavior: 'instant'})")
    box = page.locator(".graph-view").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 400)
    page.mouse.down()
    page.mouse.move(box["x"] + 50, box["y"] + 100)
    page.mouse.up()
    assert page.evaluate(scrolled) == pytest.approx(300, abs=2)


@IN_CHROMIUM
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_is_as_wide_as_the_window(opened, large, width):
    page = opened(large, viewport={"width": width, "height": 850})
    assert page.evaluate("document.documentElement.scrollWidth") == width


@IN_CHROMIUM
def test_figures_of_verify_colour_the_boxes(opened, full):
    page = opened(full)
    fill = "getComputedStyle(document.querySelectorAll('g.box rect')[{}]).fill"
    first, relu = (page.evaluate(fill.format(number)) for number in (1, 2))
    page.locator("#graph select").select_option(label="SQNR alone")
    assert page.evaluate(fill.format(1)) != first
    assert page.evaluate(fill.format(2)) != relu  # it has no figure and no colour
    page.locator("g.box").nth(1).click()
    assert "SQNR alone: " in page.locator(".graph-facts").inner_text()
    page.locator("#graph select").select_option("")
    assert page.evaluate(fill.format(1)) == first


@IN_CHROMIUM
def test_a_page_without_a_picture_complains_of_nothing(opened, tmp_path):
    relus = "\n".join(f"t{number + 1} = Relu (t{number})" for number in range(5000))
    path = tmp_path / "large.html"
    text = f"large (float[4] t0) => (float[4] t5000) {{ {relus} }}"
    path.write_text(onnxq.plan(model(text)).to_html(), encoding="utf-8")
    page = opened(path)
    assert "too large for a picture" in page.locator("#graph").inner_text()


@IN_CHROMIUM
def test_the_picture_is_there_without_scripts(opened, large):
    page = opened(large, java_script_enabled=False)
    assert page.locator("g.box").count() == 3003
    assert page.locator(".graph-tools").is_hidden()
