"""The page in a real Chromium, the system's own: skipped where there is none."""

import pytest

import onnxq

from .conftest import HOSTILE, IN_CHROMIUM

pytestmark = IN_CHROMIUM


@pytest.fixture
def opened(browser, full):
    """Open the page; afterwards nothing was complained of, asked for or popped up."""
    contexts, heard = [], []

    def opened(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda failed: heard.append(str(failed)))
        page.on("dialog", lambda dialog: heard.append(dialog.message) or dialog.dismiss())
        page.on("request", lambda request: heard.append(request.url))
        page.goto(full.as_uri())
        assert heard.pop(0) == full.as_uri()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert heard == []


def column(page, number):
    return page.locator(f"#layer-table tbody tr:visible td:nth-child({number})").all_inner_texts()


def test_the_layer_table_sorts_on_click(opened):
    page = opened()
    before = column(page, 2)
    assert HOSTILE in before
    macs = page.locator("#layer-table th", has_text="MACs")
    macs.locator("button").click()
    values = [
        float(cell.get_attribute("data-value"))
        for cell in page.locator("#layer-table tbody td:nth-child(6)").all()
    ]
    assert values == sorted(values)
    assert len(set(values)) == 2
    assert macs.get_attribute("aria-sort") == "ascending"
    macs.locator("button").click()
    assert macs.get_attribute("aria-sort") == "descending"
    falling = page.locator("#layer-table tbody td:nth-child(6)").all()
    assert [float(c.get_attribute("data-value")) for c in falling] == values[::-1]
    page.locator("#layer-table th", has_text="node").locator("button").click()
    assert column(page, 2) == sorted(before)


def test_the_layer_table_filters(opened):
    page = opened()
    form = page.locator("form[data-for=layer-table]")
    form.locator("[data-filter=text]").fill("SCRIPT")
    assert column(page, 2) == [HOSTILE] * 2
    assert form.locator("output").inner_text() == "2 of 4"
    form.locator("[data-filter=model]").select_option("b.qdq.onnx")
    assert [name.strip() for name in column(page, 3)] == ["b.qdq.onnx"]
    form.locator("[data-filter=text]").fill("")
    form.locator("[data-filter=model]").select_option("")
    assert len(column(page, 2)) == 4


def test_cards_filter_and_order(opened):
    page = opened()
    numbers = "#cards article:visible"
    order = page.locator("[data-order]")
    order.select_option("worst")
    worst = [float(c.get_attribute("data-worst")) for c in page.locator(numbers).all()]
    assert worst == sorted(worst)
    order.select_option("number")
    assert [c.get_attribute("data-number") for c in page.locator(numbers).all()] == ["1", "2"]
    page.locator("form[data-for=cards] [data-filter=text]").fill("onerror")
    assert page.locator(numbers).count() == 1


def test_the_charts_are_there(opened):
    page = opened()
    assert page.locator("#network svg").count() == 1
    assert page.locator("#macs svg.marks").count() == 2
    for chart in page.locator("#cards article .chart svg").all():
        box = chart.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 60
    bar = page.locator("#macs path[aria-label]").first
    bar.hover()
    assert page.locator("#tip").inner_text().endswith(": int8")


def test_keys_are_enough(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the summary"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#layer-table th') !== null"):
            break
    page.keyboard.press("Enter")
    assert page.locator("#layer-table th[aria-sort=ascending]").count() == 1


def test_dark_where_the_reader_has_it(opened):
    paper = "getComputedStyle(document.body).backgroundColor"
    colors = [opened(color_scheme=scheme).evaluate(paper) for scheme in ("light", "dark")]
    light, dark = ([int(c) for c in color[4:-1].split(",")] for color in colors)
    assert min(light) > 200
    assert max(dark) < 60


@pytest.mark.parametrize("width", [400, 800, 1280])
def test_the_page_is_as_wide_as_the_window(opened, width):
    page = opened(viewport={"width": width, "height": 850})
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_all_is_there_without_scripts(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("#layer-table tbody tr:visible").count() == 4
    assert page.locator("#cards article:visible svg.marks").count() == 2
    assert page.locator("form:visible").count() == 0


def test_it_prints(opened):
    page = opened(viewport={"width": 1030, "height": 700})  # A4 on its side, without margins
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") == 1030
    assert page.locator("nav").is_hidden()
    assert page.locator("form.filters").first.is_hidden()
    assert page.locator("#layer-table tbody tr:visible").count() == 4
    assert page.pdf().startswith(b"%PDF")


def test_lines_of_a_result_scroll_in_a_notebook_and_do_not_wrap(browser, made):
    """JupyterLab wraps the lines of a <pre>."""
    summary = onnxq.summarize(made / "model.calib.npz", ["x"])
    context = browser.new_context(viewport={"width": 400, "height": 900})
    page = context.new_page()
    page.set_content(f"<style>pre {{white-space: pre-wrap}}</style>{summary._repr_html_()}")
    pre = page.locator("pre")
    line = pre.evaluate("e => parseFloat(getComputedStyle(e).lineHeight)")
    height, inner, outer = pre.evaluate("e => [e.clientHeight, e.scrollWidth, e.clientWidth]")
    assert height == pytest.approx(line * len(str(summary).splitlines()), abs=line)
    assert inner > outer
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    context.close()
