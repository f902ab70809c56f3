"""The navigation of a page, by the titles of pages alone.

Sphinx resolves all headings of all pages for each page, and Furo drops those that are no titles:
half the time of a build.
"""

from collections.abc import Iterator
from html import escape
from typing import Any

from sphinx.application import Sphinx


def replace(app: Sphinx, page: str, template: str, context: dict[str, Any], _: object) -> None:
    """Give the theme this list in place of Sphinx's."""
    chain = {page, *_parents(app, page)}
    html = "".join(_list(app, page, chain, app.config.root_doc, 1))
    context["toctree"] = lambda **options: html


def _parents(app: Sphinx, page: str) -> Iterator[str]:
    for parent, children in app.env.toctree_includes.items():
        if page in children:
            yield parent
            yield from _parents(app, parent)


def _list(app: Sphinx, page: str, chain: set[str], parent: str, level: int) -> Iterator[str]:
    """The pages below a page as a list in HTML; the page itself and those above it are current."""
    yield "<ul>"
    for child in app.env.toctree_includes.get(parent, ()):
        current = " current" if child in chain else ""
        address = app.builder.get_relative_uri(page, child)
        title = escape(app.env.titles[child].astext(), quote=False)
        yield f'<li class="toctree-l{level}{current}">'
        yield f'<a class="reference internal{current}" href="{address or "#"}">{title}</a>'
        if child in app.env.toctree_includes:
            yield from _list(app, page, chain, child, level + 1)
        yield "</li>"
    yield "</ul>"


def setup(app: Sphinx) -> dict[str, bool]:
    """Act before the theme does."""
    app.connect("html-page-context", replace, priority=400)
    return {"parallel_read_safe": True}
