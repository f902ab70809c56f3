"""A tuned recipe as a rule file: one rule for each decision, with its figures."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Final

_WIDTH: Final = 96
_WILD: Final = re.compile(r"[*?]|^re:")
_UNPRINTED: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ufeff\\ufffe\\uffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRule:
    """Nodes that a rule leaves in float, and why."""

    id: str
    nodes: tuple[str, ...]
    why: str


def recipe_text(extends: str, rules: Sequence[FloatRule], head: Sequence[str]) -> str:
    """The text of a rule file. `head` are lines of comment."""
    lines = [*(f"# {one_line(line)}" for line in head), "schema: 1", extends_line(extends)]
    if not rules:
        return "\n".join([*lines, "rules: []", ""])
    lines.append("rules:")
    for rule in rules:
        lines += [
            f"  - id: {rule.id}",
            "    why: >-",
            *(f"      {line}" for line in wrap(one_line(rule.why), _WIDTH, break_long_words=False)),
            *_match(rule.nodes),
            "    skip: all",
            "",
        ]
    return "\n".join(lines)


def extends_line(extends: str) -> str:
    """The line that names the recipe which is extended."""
    return f"extends: {_quoted(extends)}"


def _match(nodes: Sequence[str]) -> list[str]:
    names = [_exact(name) for name in nodes]
    line = f"    match: {{name: [{', '.join(names)}]}}"
    if len(line) <= _WIDTH:
        return [line]
    return ["    match:", "      name:", *(f"        - {name}" for name in names)]


def _exact(name: str) -> str:
    """A name as a pattern that fits nothing else."""
    return _quoted("re:" + re.escape(name) if _WILD.search(name) else name)


def _quoted(text: str) -> str:
    """A text in quotes, as both JSON and YAML have them."""
    return _UNPRINTED.sub(
        lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False)
    )


def one_line(text: str) -> str:
    """A text without line breaks and other signs that YAML does not hold."""
    return " ".join(_UNPRINTED.sub(" ", text).split())
