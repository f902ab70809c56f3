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


def validate(model: type[M], source: Source, known: KnownKeys) -> M:
    """Return the file as `model`; OnnxqError with every OQ103 and OQ104 in it, in file order.

    `known` gives the keys that the mapping at a path may have.
    """
    try:
        return model.model_validate({} if source.value is None else source.value)
    except ValidationError as reason:
        located = [(_path(e, source), e) for e in reason.errors(include_url=False)]
        deepest = {path: e for path, e in reversed(located) if not _is_above(path, located)}
        found = [_diagnostic(path, e, source, known) for path, e in deepest.items()]
        found.sort(key=lambda d: (d.span.line, d.span.column) if d.span else (0, 0))
        raise OnnxqError(*found) from None


def _path(reason: ErrorDetails, source: Source) -> Path_:
    """Where in the file an error is, without the names of union members that pydantic adds."""
    value, path = source.value, []
    for part in reason["loc"]:
        inside = isinstance(value, dict) and part in value
        if inside or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            value = value[part]
            path.append(part)
    if reason["type"] == "missing":
        path.append(reason["loc"][-1])
    return tuple(path)


def _is_above(path: Path_, located: list[tuple[Path_, ErrorDetails]]) -> bool:
    """True when another error lies deeper: of a union, the member that was meant."""
    return any(len(other) > len(path) and other[: len(path)] == path for other, _ in located)


def _diagnostic(path: Path_, reason: ErrorDetails, source: Source, known: KnownKeys) -> Diagnostic:
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
