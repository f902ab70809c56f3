"""A tuned recipe as a rule file: one rule for each decision, with its figures."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Final

from onnxq.model.graph import Graph
from onnxq.planning.selectors.basic import name_pattern

_WIDTH: Final = 96
_WILD: Final = re.compile(r"[*?]|^re:")


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRule:
    """Nodes that a rule leaves in float, and why."""

    id: str
    nodes: tuple[str, ...]
    why: str


def recipe_text(extends: str, rules: Sequence[FloatRule], head: Sequence[str]) -> str:
    """The text of a rule file. `head` are lines of comment."""
    lines = [*(f"# {line}" for line in head), "schema: 1", f"extends: {json.dumps(extends)}"]
    if not rules:
        return "\n".join([*lines, "rules: []", ""])
    lines.append("rules:")
    for rule in rules:
        lines += [
            f"  - id: {rule.id}",
            "    why: >-",
            *(f"      {line}" for line in wrap(rule.why, _WIDTH, break_long_words=False)),
            *_match(rule.nodes),
            "    skip: all",
            "",
        ]
    return "\n".join(lines)


def _match(nodes: Sequence[str]) -> list[str]:
    names = [_exact(name) for name in nodes]
    line = f"    match: {{name: [{', '.join(names)}]}}"
    if len(line) <= _WIDTH:
        return [line]
    return ["    match:", "      name:", *(f"        - {name}" for name in names)]


def _exact(name: str) -> str:
    """A name as a pattern that fits nothing else."""
    return json.dumps("re:" + re.escape(name) if _WILD.search(name) else name)


def structured(graph: Graph, nodes: Sequence[str], decided: frozenset[str]) -> tuple[str, ...]:
    """Patterns instead of names where one covers several of the nodes and no other decided op."""
    folders: dict[str, list[str]] = {}
    for name in nodes:
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    patterns: list[str] = []
    for folder, names in folders.items():
        glob = f"{folder}/**"
        covered = {n for n in graph.by_name if name_pattern(glob).fits(n)} & decided
        plain = not _WILD.search(folder)
        is_whole = bool(folder) and len(names) > 1 and plain and covered == set(names)
        patterns += [glob] if is_whole else names
    return tuple(patterns)
