"""YAML with line numbers and without the parts of YAML that surprise people.

Only true and false are booleans, 1e-5 is a number, a duplicate key is an error, and anchors,
aliases and tags are refused, so that a file costs no more than its size. The same content may come
as Python values, with paths in place of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import yaml

from onnxq import files
from onnxq.diagnostics import Diagnostic, OnnxqError, Span, error

KeyPath = tuple[str | int, ...]
_LONGEST: Final = 2**23  # characters, which take minutes; ten thousand rules have a million
DEPTH: Final = 50  # far more than a recipe needs, far less than Python's stack has


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - the base class's name
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if self.depth > DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested more than {DEPTH} deep", problem_mark=event.start_mark
            )
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem="anchors (&) and aliases (*) are not allowed",
                problem_mark=event.start_mark,
            )
        if getattr(event, "tag", None):
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise yaml.MarkedYAMLError(
                problem=f"the tag {tag} is not allowed", problem_mark=event.start_mark
            )
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


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
class Document:
    """Parsed YAML or Python values: the plain value, and the place of each key and each value."""

    file: str
    text: str
    value: Any
    keys: dict[KeyPath, Span] = field(default_factory=dict)
    values: dict[KeyPath, Span] = field(default_factory=dict)
    scalars: dict[KeyPath, yaml.ScalarNode] = field(default_factory=dict)

    def span(self, path: KeyPath, *, key: bool = False) -> Span:
        """Place of the key or value at a path, or of its nearest ancestor in the document."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values[path]

    def within(self, path: KeyPath, offset: int) -> Span:
        """Place of a character of the text at a path, in the line it was written in.

        Folding a text changes only blanks, so the other characters are counted. For a text with
        escapes this is the place of the whole text.
        """
        span, node = self.span(path), self.scalars.get(path)
        if node is None or not node.value.strip():
            return span
        raw = self.text[node.start_mark.index : node.end_mark.index]
        if node.style in ("'", '"') and ("\\" in raw or "''" in raw[1:-1]):
            return span
        begin = raw.find("\n") if node.style in ("|", ">") else 1 if node.style else 0
        before = len("".join(node.value[:offset].split()))
        written = [i for i, c in enumerate(raw) if i >= begin and not c.isspace()]
        at = written[min(before, len(written) - 1)]
        down, line_start = raw.count("\n", 0, at), raw.rfind("\n", 0, at) + 1
        column = at - line_start + (1 if down else span.column)
        source = self.text.splitlines()[span.line - 1 + down]
        return replace(span, line=span.line + down, column=column, source=source)


def read(path: Path, *, shown_as: str | None = None) -> Document:
    """Parse one YAML file; OQ101 when it cannot be opened, OQ102 when it cannot be parsed."""
    file = shown_as or str(path)
    try:
        text = files.text(path, _LONGEST)
    except UnicodeDecodeError:
        raise error("OQ102", f"'{file}' is not UTF-8 text", fix="save it as UTF-8") from None
    except OSError as reason:
        cause = (reason.strerror or str(reason)).lower()
        raise error("OQ101", f"cannot read '{file}': {cause}", fix="check the path") from None
    return parse(text, file)


def parse(text: str, file: str) -> Document:
    """Parse YAML text; `file` is the name that diagnostics show."""
    lines = text.splitlines()
    try:
        root, value = _loaded(text)
    except yaml.MarkedYAMLError as reason:
        mark = reason.problem_mark or reason.context_mark
        if reason.context_mark and "end" in str(reason.problem)[-16:]:  # show where it began
            mark = reason.context_mark
        problem = f"{reason.context} {reason.problem}"
        message, fix = next((pair for part, *pair in _MESSAGES if part in problem), ("", _FIX))
        span = _span(file, lines, mark) if mark else None
        raise error("OQ102", message or str(reason.problem), fix=fix, span=span) from None
    except yaml.reader.ReaderError as reason:
        raise _unreadable(text, reason, file) from None
    except (ValueError, OverflowError):  # thousands of digits, or \\U99999999
        message = f"'{file}' has a number or an escape that is too large"
        raise error("OQ102", message, fix="write a smaller one, or quote the text") from None
    document = Document(file=file, text=text, value=value)
    document.values[()] = Span(file=file, line=1, column=1)
    if root is not None and (problems := list(_mark(root, (), document, lines))):
        raise OnnxqError(*problems)
    return document


def from_python(value: Any, name: str) -> Document:
    """Take Python values as a document: mappings, lists, tuples, texts, numbers, booleans.

    The place of each value is `name` and its path, such as `rules[0].match.op`. Raises OnnxqError
    with every OQ102: keys that are not texts, too deep nesting, half characters.
    """
    document = Document(file=name, text="", value=None)
    problems: list[Diagnostic] = []
    plain = _plain(value, (), document, problems)
    if problems:
        raise OnnxqError(*problems)
    return replace(document, value=plain)


def _plain(value: Any, path: KeyPath, document: Document, problems: list[Diagnostic]) -> Any:
    """The value with dicts for mappings and lists for tuples; notes where everything stands."""
    span = Span(file=document.file, line=0, column=0, path=_path_text(path))
    document.values[path] = document.keys[path] = span
    message = fix = ""
    if len(path) > DEPTH:
        raise error("OQ102", f"nested more than {DEPTH} deep", fix="write it flat", span=span)
    if isinstance(value, str) and _SURROGATE.search(value):
        message, fix = _HALF_CHARACTER
    elif isinstance(value, Mapping):
        others = [key for key in value if not isinstance(key, str)]
        if not others:
            return {k: _plain(v, (*path, k), document, problems) for k, v in value.items()}
        message, fix = f"the key {others[0]!r} is not a text", "write it as a text"
    elif isinstance(value, (list, tuple)):
        return [_plain(v, (*path, i), document, problems) for i, v in enumerate(value)]
    if message:
        problems.append(Diagnostic(code="OQ102", message=message, fix=fix, span=span))
    return value


def _path_text(path: KeyPath) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_HALF_CHARACTER: Final = ("half a character, which no text can have", "write the whole character")
_FIX: Final = "correct the YAML here"
# A part of PyYAML's context or problem, the message in its place ('' for PyYAML's), and the fix.
_MESSAGES: Final = (
    ("scanning an alias", "a text cannot begin with *", "quote it"),
    ("scanning an anchor", "a text cannot begin with &", "quote it"),
    ("anchors (&)", "", "write it out, or quote a leading * or &"),
    ("the tag ", "", "remove it, or quote a leading !"),
    ("mapping values are not allowed", "", "indent like its neighbours, or quote a text with ': '"),
    ("'\\t' that cannot start", "", "use blanks, not tabs"),
    ("cannot start any token", "", "quote a text that begins with it"),
    ("unknown escape character", "", "use single quotes around a text with backslashes"),
    ("found another document", "a second document begins here", "give each a file of its own"),
    ("'<stream end>'", "the bracket is never closed", "close it"),
    ("unexpected end of stream", "the quoted text never ends", "close it"),
    ("could not find expected ':'", "there is no ':' after this key", "add it"),
    ("expected <block end>", "this does not belong here", "indent it like its neighbours"),
)


def _unreadable(text: str, reason: yaml.reader.ReaderError, file: str) -> OnnxqError:
    before = text[: reason.position].split("\n")
    span = Span(file=file, line=len(before), column=len(before[-1]) + 1)
    message = f"the character U+{ord(text[reason.position]):04X} cannot stand in YAML"
    return error("OQ102", message, fix="remove it, or write it as an escape in quotes", span=span)


def _loaded(text: str) -> tuple[yaml.Node | None, Any]:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        return root, None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _mark(
    node: yaml.Node, path: KeyPath, document: Document, lines: list[str]
) -> Iterator[Diagnostic]:
    """Record where everything stands; yield a diagnostic for every key or text that is wrong."""
    document.values[path] = _span(document.file, lines, node.start_mark)
    if isinstance(node, yaml.ScalarNode):
        document.scalars[path] = node
        if _SURROGATE.search(node.value):
            message, fix = _HALF_CHARACTER
            yield Diagnostic(code="OQ102", message=message, fix=fix, span=document.values[path])
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _mark(item, (*path, index), document, lines)
    elif isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            inner = (*path, str(key.value))
            span = _span(document.file, lines, key.start_mark)
            if not key.tag.endswith(":str"):
                yield Diagnostic(
                    code="OQ102", message="this key is not a text", fix="quote it", span=span
                )
            if inner in document.keys:
                first = document.keys[inner].line
                yield Diagnostic(
                    code="OQ102",
                    message=f"the key '{key.value}' is given twice, first in line {first}",
                    fix="keep one of them",
                    span=span,
                )
            document.keys[inner] = span
            yield from _mark(item, inner, document, lines)


def _span(file: str, lines: list[str], mark: Any) -> Span:
    source = lines[mark.line] if mark.line < len(lines) else ""
    return Span(file=file, line=mark.line + 1, column=mark.column + 1, source=source)
