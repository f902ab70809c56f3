"""Validation of documents by pydantic, whose errors become diagnostics with a place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from onnxq.diagnostics import Diagnostic, OnnxqError, did_you_mean
from onnxq.yaml_source import Document, KeyPath

M = TypeVar("M", bound=BaseModel)
KnownKeys = Callable[[KeyPath], Sequence[str]]

_UNKNOWN_KEY: Final = frozenset({"extra_forbidden", "unexpected_keyword_argument"})


def validate(model: type[M], document: Document, keys: KnownKeys) -> M:
    """Return a document as `model`; OnnxqError with every OQ103 and OQ104 in it, in its order.

    `keys` gives the keys that the mapping at a path may have.
    """
    try:
        return model.model_validate({} if document.value is None else document.value)
    except ValidationError as reason:
        located = [(_path(e, document), e) for e in reason.errors(include_url=False)]
        # Of a union, the member that was meant is the one in which an error lies deeper.
        above = {path[:length] for path, _ in located for length in range(len(path))}
        deepest: dict[KeyPath, list[ErrorDetails]] = {}
        for path, e in located:
            if path not in above:
                deepest.setdefault(path, []).append(e)
        misspelt = {_meant(path, keys) for path, (e, *_) in deepest.items() if _is_unknown(e)}
        diagnostics = [
            _diagnostic(path, errors, document, keys)
            for path, errors in deepest.items()
            if errors[0]["type"] != "missing" or path not in misspelt
        ]
        diagnostics.sort(key=lambda d: (d.span.line, d.span.column) if d.span else (0, 0))
        raise OnnxqError(*diagnostics) from None


def _path(reason: ErrorDetails, document: Document) -> KeyPath:
    """Where in the document an error is, without the union members that pydantic names."""
    value, path = document.value, []
    for part in reason["loc"]:
        inside = isinstance(value, dict) and part in value
        if inside or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value = value[part]
            path.append(part)
    if reason["type"] == "missing":
        path.append(reason["loc"][-1])
    return tuple(path)


def _diagnostic(
    path: KeyPath, reasons: list[ErrorDetails], document: Document, keys: KnownKeys
) -> Diagnostic:
    reason = reasons[0]
    if _is_unknown(reason):
        return Diagnostic(
            code="OQ103",
            message=f"unknown key '{path[-1]}'{_in_rule(path, document)}",
            fix=did_you_mean(str(path[-1]), keys(path[:-1])),
            span=document.span(path, key=True),
        )
    if reason["type"] == "missing":
        return Diagnostic(
            code="OQ104",
            message=f"the key '{path[-1]}' is missing{_in_rule(path, document)}",
            fix="add it",
            span=document.span(path[:-1]),
        )
    if reason["type"] == "value_error":  # of onnxq's own validators: 'message; fix'
        problem, _, fix = reason["msg"].removeprefix("Value error, ").partition("; ")
        message = f"{_subject(path, document)}: {problem}"
    else:
        message = f"{_subject(path, document)} cannot be {_shown(reason['input'])}"
        fix = f"give {_listed(list(dict.fromkeys(map(_wanted, reasons))))}"
    return Diagnostic(code="OQ104", message=message, fix=fix, span=document.span(path))


def _is_unknown(reason: ErrorDetails) -> bool:
    return reason["type"] in _UNKNOWN_KEY


def _meant(path: KeyPath, keys: KnownKeys) -> KeyPath:
    """Path of the known key that is most like an unknown one, and so not missing but misspelt."""
    near = did_you_mean(str(path[-1]), keys(path[:-1]), otherwise="''").split("'")[1]
    return (*path[:-1], near)


def _listed(words: list[str]) -> str:
    if "a number" in words and "a whole number" in words:
        words.remove("a whole number")
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


_WANTED: Final = {
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "greater_than": "more than {gt}",
    "finite_number": "a finite number",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
    "literal_error": "{expected}",
}


def _wanted(reason: ErrorDetails) -> str:
    context = reason.get("ctx", {})
    return _WANTED[reason["type"]].format(**context) if reason["type"] in _WANTED else reason["msg"]


def _subject(path: KeyPath, document: Document) -> str:
    """The value at a path, in words."""
    names = [part for part in path if isinstance(part, str)]
    if not names:
        return "the file" if document.span(()).line else "the recipe"
    entry = "an entry of " if isinstance(path[-1], int) else ""
    owner = f" of '{names[-2]}'" if len(names) > 1 and names[-2] != "rules" else ""
    return f"{entry}'{names[-1]}'{owner}{_in_rule(path, document)}"


def _shown(value: object) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case dict():
            return "keys with values"
        case list():
            return "a list"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _in_rule(path: KeyPath, document: Document) -> str:
    match path:
        case ("rules", int(index), *_):
            rule = document.value["rules"][index]
            name = rule.get("id") if isinstance(rule, dict) else None
            return f" in rule '{name}'" if name else ""
    return ""
