"""`onnxq sensitivity --html`: what is on the page, and how it stands in a real Chromium."""

import re

import pytest

from tests.cli.forked import onnxq
from tests.command import succeeded

from .conftest import HOSTILE, IN_CHROMIUM, TENSOR, Page
from .test_page import test_nothing_is_loaded as nothing_is_loaded

RUN = ("sensitivity", "model.onnx", "--data", "imgs", "--rules", "rules.yaml")


@pytest.fixture(scope="session")
def noise(made, tmp_path_factory):
    """The page of the small model."""
    path = tmp_path_factory.mktemp("noise") / "noise.html"
    outcome = succeeded(onnxq(*RUN, "--html", path, cwd=made))
    assert outcome.stdout.endswith(f"page: {path}\n")
    return path


@pytest.fixture(scope="session")
def page(noise):
    return Page(noise)


def test_it_loads_nothing(noise, page):
    nothing_is_loaded(noise, page)


def test_names_of_a_model_are_text(page):
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert HOSTILE in page.words("op-table")
    assert TENSOR in page.words("pair-table")
    assert not [e for e in page.elements if any(key.startswith("on") for key in e.attributes)]


def test_every_op_and_pair_is_there_with_its_figures(page):
    ops = [e for e in page.all("tr") if "data-op" in e.attributes]
    assert len(ops) == 2
    pairs = [e for e in page.all("tr") if "data-kind" in e.attributes]
    assert sorted(e.attributes["data-kind"] for e in pairs) == ["activation"] * 2 + ["weight"] * 2
    shares = [float(re.search(r"([\d.]+)%", e.words)[1]) for e in pairs]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.3)
    assert "Half of the noise comes from" in page.words("summary")
    assert re.search(r"y \d+\.\d\d \d+\.\d\d [+-]\d\.\d\d", page.words("summary"))


def test_the_charts_are_there(page):
    drawn = [e.attributes.get("fill") for e in page.all("path") if "aria-label" in e.attributes]
    assert {"var(--activations)", "var(--weights)", "var(--model0)"} <= set(drawn)
    said = [e.attributes["aria-label"] for e in page.all("path") if "aria-label" in e.attributes]
    assert any(re.fullmatch(r".*: activations \S+%, weights \S+%", text) for text in said)
    assert any(re.fullmatch(r".*, y: \d+\.\d dB", text) for text in said)


@IN_CHROMIUM
@pytest.mark.parametrize("width", [500, 1130])
def test_it_stands_in_a_browser(browser, noise, width):
    heard = []
    context = browser.new_context(viewport={"width": width, "height": 900})
    opened = context.new_page()
    opened.on("console", lambda message: heard.append(message.text))
    opened.on("pageerror", lambda failed: heard.append(str(failed)))
    opened.on("dialog", lambda dialog: heard.append(dialog.message) or dialog.dismiss())
    opened.goto(noise.as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    assert opened.locator("#ranking svg").last.bounding_box()["width"] > 300
    assert opened.locator("#network svg.marks").count() == 1
    opened.locator("#op-table th", has_text="MACs").locator("button").click()
    cells = opened.locator("#op-table tbody tr td:nth-child(9)").all()
    macs = [float(cell.get_attribute("data-value")) for cell in cells]
    assert macs == sorted(macs)
    opened.locator("form[data-for=pair-table] [data-filter=kind]").select_option("weight")
    assert opened.locator("#pair-table tbody tr:visible").count() == 2
    opened.locator("#ranking path[aria-label]").first.hover()
    assert "activations" in opened.locator("#tip").inner_text()
    context.close()
    assert heard == []
