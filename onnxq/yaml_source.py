"""YAML read with line numbers, and without the parts of YAML that surprise people.

Only true and false are booleans, 1e-5 is a number, a duplicate key is an error, and anchors,
aliases and tags are refused, so that a file costs no more than its size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from onnxq.diagnostics import Diagnostic, OnnxqError, Span, error

Path_ = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - the base class's name

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem="anchors (&) and aliases (*) are not allowed; quote a leading *",
                problem_mark=event.start_mark,
            )
        if getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(
                problem=f"the tag {event.tag} is not allowed", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|false)$", "tf"),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    (
        "float",
        r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$",
        "-+.0123456789",
    ),
    ("null", r"^(?:~|null|)$", ["~", "n", ""]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Parsed YAML: the plain value, and where each key and each value stands."""

    file: str
    value: Any
    keys: dict[Path_, Span]
    values: dict[Path_, Span]

    def span(self, path: Path_, *, key: bool = False) -> Span:
        """Place of the key or value at a path, or of its nearest ancestor that the file has."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values[path]


def read(path: Path, *, shown_as: str | None = None) -> Source:
    """Parse one YAML file; every way that can fail is OQ102, except a missing file (OQ101)."""
    file = shown_as or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise error("OQ102", f"'{file}' is not UTF-8 text", fix="save it as UTF-8") from None
    except OSError as reason:
        said = (reason.strerror or str(reason)).lower()
        raise error("OQ101", f"cannot read '{file}': {said}", fix="check the path") from None
    return parse(text, file)


def parse(text: str, file: str) -> Source:
    """Parse YAML text; `file` is the name that diagnostics show."""
    lines = text.splitlines()
    try:
        root, value = _loaded(text)
    except yaml.MarkedYAMLError as reason:
        mark = reason.problem_mark or reason.context_mark
        problem = reason.problem or "not valid YAML"
        span = _span(file, lines, mark) if mark else None
        starred = reason.context == "while scanning an alias"
        fix = "quote a text that begins with *" if starred else "correct the YAML here"
        raise error("OQ102", problem, fix=fix, span=span) from None
    except (yaml.YAMLError, ValueError, RecursionError) as reason:
        said = "nested too deeply" if isinstance(reason, RecursionError) else str(reason)
        raise error("OQ102", f"'{file}': {said.splitlines()[0]}", fix="correct the YAML") from None
    source = Source(file=file, value=value, keys={}, values={(): Span(file=file, line=1, column=1)})
    if root is not None and (duplicates := list(_mark(root, (), source, lines))):
        raise OnnxqError(*duplicates)
    return source


def _loaded(text: str) -> tuple[yaml.Node | None, Any]:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        return root, None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _mark(node: yaml.Node, path: Path_, source: Source, lines: list[str]) -> Iterator[Diagnostic]:
    """Record where everything stands; yield a diagnostic for every duplicate key."""
    source.values[path] = _span(source.file, lines, node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _mark(item, (*path, index), source, lines)
    elif isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            inner = (*path, str(key.value))
            span = _span(source.file, lines, key.start_mark)
            if inner in source.keys:
                first = source.keys[inner].line
                yield Diagnostic(
                    code="OQ102",
                    message=f"the key '{key.value}' is given twice, first in line {first}",
                    fix="keep one of them",
                    span=span,
                )
            source.keys[inner] = span
            yield from _mark(item, inner, source, lines)


def _span(file: str, lines: list[str], mark: Any) -> Span:
    source = lines[mark.line] if mark.line < len(lines) else ""
    return Span(file=file, line=mark.line + 1, column=mark.column + 1, source=source)
