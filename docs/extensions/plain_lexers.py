"""Blocks of plans and of ONNX text are shown as plain text."""

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the languages of docs/rules.md."""
    for language in ("plan", "onnx"):
        app.add_lexer(language, TextLexer)
    return {"parallel_read_safe": True}
