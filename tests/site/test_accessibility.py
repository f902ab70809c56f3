"""Pages of the site in a real Chromium, wide and narrow: skipped where there is none."""

from itertools import pairwise

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.html.conftest import IN_CHROMIUM

pytestmark = [IN_CHROMIUM, pytest.mark.long]
PAGES = ["index", "start", "guide/cost", "reference/commands", "rules", "explanation/cost", "faq"]
SHORT = ["index", "guide/cost", "explanation/calibration", "faq"]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
SCROLLING = """[...document.querySelectorAll("html, body, body :not(pre, .table-wrapper)")]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0)
    .filter(e => e.tagName === "HTML" || /auto|scroll/.test(getComputedStyle(e).overflowX))
    .map(e => e.tagName + "." + e.className)"""
STANDARD = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}


@pytest.fixture
def opened(browser, site):
    """Open a page of the site; afterwards nothing came from elsewhere and nothing failed."""
    contexts, heard = [], []

    def opened(name, size=WIDE, **options):
        context = browser.new_context(viewport=size, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda failed: heard.append(str(failed)))
        page.on("request", lambda r: None if r.url.startswith("file:") else heard.append(r.url))
        page.goto((site / "docs" / f"{name}.html").as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert heard == []


@pytest.mark.parametrize(
    ("name", "scheme"), [*((name, "light") for name in SHORT), ("guide/cost", "dark")]
)
def test_axe_finds_nothing(opened, name, scheme):
    """Contrast, names of controls, languages, roles: all that axe-core knows of WCAG 2.1 AA."""
    page = opened(name, color_scheme=scheme)
    broken = Axe().run(page, options=STANDARD).response["violations"]
    assert [(rule["id"], node["html"]) for rule in broken for node in rule["nodes"]] == []


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", PAGES)
def test_only_code_and_tables_scroll_sideways(opened, name, size):
    """Furo lets the whole text of a narrow page scroll in a box, so that every box is asked."""
    assert opened(name, size).evaluate(SCROLLING) == []


@pytest.mark.parametrize("name", PAGES)
def test_headings_go_down_one_level_at_a_time(opened, name):
    levels = opened(name).eval_on_selector_all(
        "article :is(h1, h2, h3, h4, h5)", "all => all.map(h => Number(h.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert [(a, b) for a, b in pairwise(levels) if b > a + 1] == []


def test_the_navigation_is_reached_and_opened_by_keys(opened):
    page = opened("index")
    focused = []
    for _ in range(12):
        page.keyboard.press("Tab")
        focused.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert "Skip to content" in focused[0]
    assert "Start" in focused
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) != "none"
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: not url.endswith("docs/index.html"))


def test_the_search_works_without_a_server(opened):
    page = opened("index")
    page.locator("input[name=q]").first.fill("depthwise")
    page.keyboard.press("Enter")
    page.wait_for_selector("ul.search li a")
    assert "What an engine costs" in page.locator("ul.search").inner_text()
