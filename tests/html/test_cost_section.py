"""Where time goes, on the page of verify --gpu."""

import json

import pytest

from tests.command import succeeded

from .conftest import HOSTILE, IN_CHROMIUM, VERIFY, Page, running_scripts

COMMAND = (*VERIFY, "b.qdq.onnx", "--gpu", "l4", "--html", "report.html")


@pytest.fixture(scope="module")
def written(made, tmp_path_factory):
    """The page with the costs of two models, and the same as JSON."""
    from tests.cli.forked import onnxq

    path = tmp_path_factory.mktemp("cost") / "report.html"
    command = (*COMMAND[:-1], path, "--json")
    report = json.loads(succeeded(onnxq(*command, cwd=made)).stdout)
    return path, [model["cost"] for model in report["models"]]


def cells(page, label):
    """The texts of the rows of all tables in regions of a label."""
    region, rows = None, []
    for element in page.elements:
        if element.tag == "div":
            region = element.attributes.get("aria-label")
        if element.tag == "tr" and region == label and "tbody" in element.inside:
            rows.append(element.words)
    return rows


def test_a_row_for_each_step_and_engine(written):
    path, costs = written
    page = Page(path)
    assert len(cells(page, "Steps")) == sum(len(cost["engines"][0]["steps"]) for cost in costs)
    engines = cells(page, "Engines")
    assert [row.split()[0] for row in engines] == ["Q/DQ", "FP16", "FP32"] * 2
    assert len(cells(page, "Where it loses")) == sum(len(cost["losses"]) for cost in costs)


def test_the_bars_are_as_long_as_the_times(written):
    path, costs = written
    page = Page(path)
    widths = [
        float(e.attributes["width"].rstrip("%"))
        for e in page.elements
        if e.tag == "rect" and e.attributes["width"].endswith("%") and "height" in e.attributes
        and e.attributes["height"] == "16"
    ]  # fmt: skip
    assert widths
    longest = [max(engine["seconds"] for engine in cost["engines"]) for cost in costs]
    shares = [
        100 * engine["seconds"] / most
        for cost, most in zip(costs, longest, strict=True)
        for engine in cost["engines"]
    ]
    assert sum(widths) == pytest.approx(sum(shares), rel=1e-9)


def test_names_of_the_model_are_text(written):
    path, _ = written
    page = Page(path)
    assert HOSTILE in page.words("cost")
    assert [e.inside[-1] for e in running_scripts(page)] == ["body"]


def test_the_section_is_named_as_missing_without_a_gpu(here):
    outcome = here.run(*VERIFY, "--html", "report.html")
    assert outcome.returncode == 0
    page = Page(here / "report.html")
    assert not page.all("section", id="cost")
    assert "--gpu l4, or another, tells it" in page.words("summary")


@IN_CHROMIUM
def test_the_steps_sort_by_time(written, browser):
    path, costs = written
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(path.as_uri())
    table = page.locator("[aria-label=Steps] table").first
    table.locator("th", has_text="us").first.locator("button").click()
    values = [
        float(cell.get_attribute("data-value"))
        for cell in table.locator("tbody td:nth-child(4)").all()
    ]
    assert values == sorted(values)
    assert len(values) == len(costs[0]["engines"][0]["steps"])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
