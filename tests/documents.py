"""The code blocks of documents."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(document: str, language: str) -> list[str]:
    """The texts of the blocks of one language, in order."""
    text = (ROOT / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def shape_of(text: str) -> list[str]:
    """Lines without digits, blanks and rules, whose widths depend on the figures."""
    lines = (re.sub(r"[\d.,]+", "#", line) for line in text.splitlines())
    return [" ".join(line.split()) for line in lines if line.strip(" ─")]
