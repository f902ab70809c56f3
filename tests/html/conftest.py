"""Pages of real runs: two Q/DQ models of one float model whose names are hostile."""

import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser

import onnx
import pytest
from playwright.sync_api import sync_playwright

from tests.cli.conftest import MODEL, RULES, Workplace, make_picture
from tests.cli.forked import onnxq
from tests.command import succeeded
from tests.onnx_text import model

HOSTILE = "<script>alert(1)</script>"
TENSOR = '"><img src=http://example.com onerror=alert(2)>'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
IN_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt install it")
VERIFY = ("verify", "model.onnx", "a.qdq.onnx")


def hostile_model():
    """The small model with two Convs; one is called HOSTILE, the tensor between them TENSOR."""
    made = model(MODEL)
    first, relu, second = made.graph.node
    first.name = HOSTILE
    relu.output[0] = second.input[0] = TENSOR
    return made


@dataclass
class Element:
    """One element of a page, with all text in it."""

    tag: str
    attributes: dict
    inside: list = field(default_factory=list)  # tags that it is in, from the outermost
    pieces: list = field(default_factory=list)

    @property
    def text(self):
        return "".join(self.pieces)

    @property
    def words(self):
        """Its text with single spaces, those of cells apart."""
        return " ".join(" ".join(self.pieces).split())


class Page(HTMLParser):
    """The elements of a page in order, as a browser without scripts reads them."""

    def __init__(self, path):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        made = Element(tag, dict(attrs), inside=[e.tag for e in self._open])
        self.elements.append(made)
        if tag not in ("meta", "link", "input"):
            self._open.append(made)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(Element(tag, dict(attrs), inside=[e.tag for e in self._open]))

    def handle_endtag(self, tag):
        assert self._open.pop().tag == tag

    def handle_data(self, data):
        for element in self._open:
            element.pieces.append(data)

    def all(self, tag, **attributes):
        """Elements of a tag, with these attributes."""
        return [
            e for e in self.elements if e.tag == tag and attributes.items() <= e.attributes.items()
        ]

    def words(self, identifier):
        """The text of the element of an id, with single spaces."""
        (found,) = (e for e in self.elements if e.attributes.get("id") == identifier)
        return found.words


def running_scripts(page):
    """The scripts of a page but those that are data."""
    return [e for e in page.all("script") if e.attributes.get("type") != "application/json"]


@pytest.fixture(scope="module")
def browser():
    """The system's own Chromium."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with model.onnx, its calibration, a.qdq.onnx (shipped recipe), b.qdq.onnx (own)."""
    folder = tmp_path_factory.mktemp("page")
    onnx.save(hostile_model(), folder / "model.onnx")
    (folder / "rules.yaml").write_text(RULES)
    (folder / "imgs").mkdir()
    for index in range(3):
        make_picture(folder / "imgs" / f"{index}.png", index)
    succeeded(onnxq("calibrate", "model.onnx", "--data", "imgs", cwd=folder))
    succeeded(onnxq("insert", "--rules", "trt-int8", "-o", "a.qdq.onnx", cwd=folder))
    succeeded(onnxq("insert", "--rules", "rules.yaml", "-o", "b.qdq.onnx", cwd=folder))
    return folder


@pytest.fixture
def here(tmp_path, made):
    """A fresh copy of that folder."""
    shutil.copytree(made, tmp_path / "work")
    return Workplace(tmp_path / "work")


@pytest.fixture(scope="session")
def full(made, tmp_path_factory):
    """The page of both models with all that there is to tell."""
    path = tmp_path_factory.mktemp("full") / "report.html"
    succeeded(
        onnxq(
            *VERIFY, "b.qdq.onnx", "--data", "imgs", "--tensors", "--rules", "rules.yaml",
            "--min-sqnr", "5", "--html", path, cwd=made,
        )
    )  # fmt: skip
    return path
