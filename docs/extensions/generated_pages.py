"""Pages of the reference whose text comes from the code when the site is built."""

from collections.abc import Callable
from typing import Final

import command_reference
import python_reference
import report_reference
from sphinx.application import Sphinx

TEXTS: Final[dict[str, Callable[[], str]]] = {
    "docs/reference/commands": command_reference.text,
    "docs/reference/api": python_reference.text,
    "docs/reference/report-json": report_reference.text,
}


def append(_: Sphinx, page: str, source: list[str]) -> None:
    """Append what is generated to the text of the page."""
    if page in TEXTS:
        source[0] += f"\n{TEXTS[page]()}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Generate while pages are read, and always: their sources are not files of the site."""
    app.connect("source-read", append)
    app.connect("env-get-outdated", lambda *_: list(TEXTS))
    return {"parallel_read_safe": True}
