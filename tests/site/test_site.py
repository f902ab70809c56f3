"""The built site is whole: no link that leads nowhere, nothing from the network."""

import ast
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import onnxq
from tests.documents import ROOT

# Attributes by which a page loads what it shows. A link is only followed when it is clicked.
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """The addresses and the anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.anchors, self.text = [], [], set(), ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if "id" in attributes:
            self.anchors.add(attributes["id"])
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        if LOADED.get(tag) in attributes:
            self.loaded.append(attributes[LOADED[tag]])

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_markdown_page_and_notebook_is_on_the_site(site, pages):
    sources = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.ipynb")]
    expected = {site / path.relative_to(ROOT).with_suffix(".html") for path in sources}
    assert expected <= pages.keys()


def test_links_and_their_anchors_are_there(pages):
    broken = []
    for path, page in pages.items():
        for link in page.links + page.loaded:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            anchor = unquote(address.fragment)
            missing = target not in pages if target.suffix == ".html" else not target.is_file()
            if missing or (anchor and target in pages and anchor not in pages[target].anchors):
                broken.append((path.name, link))
    assert broken == []


def test_no_page_loads_anything_from_the_network(site, pages):
    remote = [(p.name, a) for p, page in pages.items() for a in page.loaded if "//" in a]
    assert remote == []
    for path in (*site.rglob("*.css"), *site.rglob("*.html")):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", path.read_text()), path.name


def test_the_reference_has_every_command_and_function(site, pages):
    from typer.main import get_command

    from onnxq.cli.app import app

    commands = pages[site / "docs/reference/commands.html"]
    for name, command in get_command(app).commands.items():
        for sub in getattr(command, "commands", [""]):
            assert f"onnxq-{name}{'-' if sub else ''}{sub}" in commands.anchors
        for parameter in command.params:
            assert all(option in commands.text for option in parameter.opts if "-" in option)
    functions = pages[site / "docs/reference/api.html"]
    assert [name for name in onnxq.__all__ if f"onnxq.{name}" not in functions.text] == []


def test_signatures_of_the_reference_are_python(site, pages):
    text = pages[site / "docs/reference/api.html"].text
    found = re.findall(r"onnxq\.(\w+)\(\n((?: {4}.*\n)*)\) -> (.*)", text)
    assert {name for name, _, _ in found} == {n for n in onnxq.__all__ if n.islower()}
    for name, parameters, returned in found:
        ast.parse(f"def {name}({parameters}) -> {returned}: ...")


def test_the_notebook_is_shown_with_its_outputs(site, pages):
    notebook = pages[site / "docs/notebooks/quickstart.html"]
    assert "onnxq.summarize(statistics, limit=8)" in notebook.text
    assert re.search(r"SQNR dB, output +[\d.]+ +[\d.]+", notebook.text)


def test_codes_in_the_text_lead_to_their_explanation(site, pages):
    faq = pages[site / "docs/faq.html"]
    named = set(re.findall(r"\bOQ\d{3}\b", (ROOT / "docs/faq.md").read_text()))
    linked = {link.rpartition("#")[2].upper() for link in faq.links if "codes.html#oq" in link}
    assert linked == named


def test_the_first_page_leads_home(site):
    assert "url=docs/index.html" in Path(site / "index.html").read_text()
