"""YAML against types: pydantic validates, and its findings get the line they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from onnxq.diagnostics import Diagnostic, OnnxqError, did_you_mean
from onnxq.yaml_source import Path_, Source

M = TypeVar("M", bound=BaseModel)
KnownKeys = Callable[[Path_], Sequence[str]]

_UNKNOWN_KEY: Final = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_TYPE_NAMES: Final = frozenset({"str", "list[str]", "float", "list[float]"})  # of union members


def validate(model: type[M], source: Source, known: KnownKeys) -> M:
    """Return the file as `model`; OnnxqError with every OQ103 and OQ104 in it, in file order.

    `known` gives the keys that the mapping at a path may have.
    """
    try:
        return model.model_validate({} if source.value is None else source.value)
    except ValidationError as reason:
        found = {_diagnostic(e, source, known) for e in reason.errors(include_url=False)}
        ordered = sorted(found, key=lambda d: (d.span.line, d.span.column) if d.span else (0, 0))
        raise OnnxqError(*ordered) from None


def _diagnostic(reason: ErrorDetails, source: Source, known: KnownKeys) -> Diagnostic:
    path = tuple(p for p in reason["loc"] if p not in _TYPE_NAMES)
    if reason["type"] in _UNKNOWN_KEY:
        return Diagnostic(
            code="OQ103",
            message=f"unknown key '{path[-1]}'{_in_rule(path, source)}",
            fix=did_you_mean(str(path[-1]), known(path[:-1])),
            span=source.span(path, key=True),
        )
    if reason["type"] == "missing":
        return Diagnostic(
            code="OQ104",
            message=f"the key '{path[-1]}' is missing{_in_rule(path, source)}",
            fix="add it",
            span=source.span(path[:-1]),
        )
    said = reason["msg"].removeprefix("Value error, ")
    where = ".".join(str(p) for p in path) or "the file"
    return Diagnostic(
        code="OQ104",
        message=f"{where}: {said[:1].lower()}{said[1:]}",
        fix="correct the value",
        span=source.span(path),
    )


def _in_rule(path: Path_, source: Source) -> str:
    match path:
        case ("rules", int(index), *_):
            rule = source.value["rules"][index]
            name = rule.get("id") if isinstance(rule, dict) else None
            return f" in rule '{name}'" if name else ""
    return ""
