"""`onnxq tune --html`: what is on the page, and how it stands in a real Chromium."""

import json
import re

import onnx
import pytest

import onnxq
from tests.cli.conftest import make_picture
from tests.cli.forked import onnxq as command
from tests.command import succeeded

from .conftest import HOSTILE, IN_CHROMIUM, Page, hostile_model
from .test_page import test_nothing_is_loaded as nothing_is_loaded

WORST = f"{HOSTILE} again"
RUN = ("tune", "tuned.onnx", "--data", "many", "--rules", "rules.yaml", "--no-improve")


@pytest.fixture(scope="session")
def folder(made):
    """The folder with a model of hostile names alone, and pictures enough to tune on."""
    proto = hostile_model()
    proto.graph.node[-1].name = WORST
    onnx.save(proto, made / "tuned.onnx")
    (made / "many").mkdir()
    for index in range(10):
        make_picture(made / "many" / f"{index}.png", index)
    return made


@pytest.fixture(scope="session")
def run(folder, tmp_path_factory):
    """The page of a goal that takes one op out of INT8, and the figures of the same run."""
    out = tmp_path_factory.mktemp("tuned")
    first = onnxq.tune(
        folder / "tuned.onnx", folder / "many", folder / "rules.yaml", min_int8=1, improve=False
    )
    goal = ("--min-sqnr", str(first.before.figure + 3), "-o", out / "t.yaml")
    outcome = succeeded(command(*RUN, *goal, "--html", out / "t.html", cwd=folder))
    assert outcome.stdout.endswith(f"page: {out / 't.html'}\n")
    again = succeeded(command(*RUN, *goal, "--json", cwd=folder))
    return out / "t.html", json.loads(again.stdout)


@pytest.fixture(scope="session")
def page(run):
    return Page(run[0])


def test_it_loads_nothing(run, page):
    nothing_is_loaded(run[0], page)


def test_names_of_a_model_are_text(page):
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert WORST in page.words("decision-table")
    assert not [e for e in page.elements if any(key.startswith("on") for key in e.attributes)]


def test_the_verdict_and_the_decisions_are_there(page, run):
    result = run[1]
    assert result["rules"]
    assert "goal reached" in page.words("summary")
    for when in ("before", "verdict"):
        assert f"{result[when]['figure']:.2f}" in page.words("summary")
    for rule in result["rules"]:
        share = f"{rule['share']:.1%}"
        assert re.search(
            rf"{rule['id']} .* {rule['part']} {share}", page.words("decision-table")
        ), rule


def test_every_trial_is_in_the_table_and_in_the_chart(page, run):
    trials = run[1]["trials"]
    assert len(trials) > 1
    rows = [e for e in page.all("tr") if e.inside[-2:] == ["table", "tbody"]]
    words = [e.words for e in rows]
    for trial in trials:
        ending = f"{trial['float_ops']} {trial['conversions']} {trial['figure']:.2f}"
        assert any(text.endswith(ending) for text in words), ending
    said = [e.attributes["aria-label"] for e in page.all("path") if "aria-label" in e.attributes]
    drawn = [text for text in said if re.fullmatch(r"\d+ ops? in float, \S+% of .* dB", text)]
    assert len(drawn) == sum(trial["figure"] < 100 for trial in trials) > 1
    assert sum(text.startswith("verdict on the recipe") for text in said) == 2


def test_a_goal_that_is_not_reached(folder, tmp_path):
    goal = ("--min-sqnr", "200", "--min-int8", "0.9", "-o", tmp_path / "t.yaml")
    assert command(*RUN, *goal, "--html", tmp_path / "t.html", cwd=folder).returncode == 1
    page = Page(tmp_path / "t.html")
    assert "goal not reached" in page.words("summary")
    assert "OQ487" in page.words("findings")
    assert not page.all("table", id="decision-table")


@IN_CHROMIUM
@pytest.mark.parametrize("width", [500, 1130])
def test_it_stands_in_a_browser(browser, run, width):
    heard = []
    context = browser.new_context(viewport={"width": width, "height": 900})
    opened = context.new_page()
    opened.on("console", lambda message: heard.append(message.text))
    opened.on("pageerror", lambda failed: heard.append(str(failed)))
    opened.on("dialog", lambda dialog: heard.append(dialog.message) or dialog.dismiss())
    opened.goto(run[0].as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    assert opened.locator("#trade svg.marks").bounding_box()["width"] > 300
    opened.locator("#trial-table th", has_text="MACs").locator("button").click()
    cells = opened.locator("#trial-table tbody tr td:nth-child(2)").all()
    shares = [float(cell.get_attribute("data-value")) for cell in cells]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]
    opened.locator("#trade path[aria-label]").first.hover()
    assert "in float" in opened.locator("#tip").inner_text()
    context.close()
    assert heard == []
