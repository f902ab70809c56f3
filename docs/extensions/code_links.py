"""Every code that a page names, such as OQ695, leads to its explanation."""

import re
from typing import Final

from docutils import nodes
from sphinx.application import Sphinx

from onnxq.codes import CODES

CODES_PAGE: Final = "docs/codes"
NAMED: Final = re.compile(r"\b(OQ\d{3})\b")
UNLINKED: Final = (nodes.reference, nodes.literal, nodes.literal_block, nodes.title, nodes.raw)


def link(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Replace the codes in running text by links."""
    if page == CODES_PAGE:
        return
    address = app.builder.get_relative_uri(page, CODES_PAGE)
    for text in list(tree.findall(nodes.Text)):
        if NAMED.search(text) and not _is_in(text, UNLINKED):
            text.parent.replace(text, [_node(part, address) for part in NAMED.split(text)])


def _is_in(text: nodes.Node, kinds: tuple[type, ...]) -> bool:
    parent = text.parent
    while parent is not None and not isinstance(parent, kinds):
        parent = parent.parent
    return parent is not None


def _node(part: str, address: str) -> nodes.Node:
    if part in CODES:
        return nodes.reference("", part, refuri=f"{address}#{part.lower()}", internal=True)
    return nodes.Text(part)


def setup(app: Sphinx) -> dict[str, bool]:
    """Link when references are resolved, because addresses depend on the page."""
    app.connect("doctree-resolved", link)
    return {"parallel_read_safe": True}
