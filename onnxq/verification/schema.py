"""The JSON schema of `verify --json`, from the report's types and their docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from onnxq.verification.report import DERIVED, HIDDEN, VERSION, VerifyReport

_SIMPLE: Final[Mapping[type, dict[str, Any]]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"$ref": "#/$defs/Figure"},
}
_FIGURE: Final = {
    "description": "A number; infinities are texts, because JSON has none.",
    "anyOf": [{"type": "number"}, {"enum": ["inf", "-inf"]}],
}


def schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of the report that `onnxq verify --json` prints."""
    types = _Types()
    report = types.of(VerifyReport)
    report_schema = types.definitions[VerifyReport.__name__]
    report_schema["properties"]["version"] = {"const": VERSION}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "onnxq verify --json",
        **report,
        "$defs": dict(sorted(types.definitions.items())),
    }


class _Types:
    """Schemas of the classes so far, by name."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {"Figure": _FIGURE}

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of a type."""
        origin, arguments = get_origin(kind), get_args(kind)
        if kind in _SIMPLE:
            return dict(_SIMPLE[kind])
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in (Union, UnionType):
            return self._optional(arguments)
        if origin is tuple:
            return self._array(arguments)
        if origin is not None and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if issubclass(kind, Enum):
            return {"enum": [str(member.value) for member in kind]}
        return self._class(kind)

    def _optional(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        (kind,) = (a for a in arguments if a is not NoneType)
        return {"anyOf": [self.of(kind), {"type": "null"}]}

    def _array(self, arguments: tuple[Any, ...]) -> dict[str, Any]:
        if arguments[-1] is Ellipsis:
            return {"type": "array", "items": self.of(arguments[0])}
        size = len(arguments)
        items = [self.of(a) for a in arguments]
        return {"type": "array", "prefixItems": items, "minItems": size, "maxItems": size}

    def _class(self, kind: type) -> dict[str, Any]:
        if kind.__name__ not in self.definitions:
            self.definitions[kind.__name__] = {}  # it may contain itself
            members = self._members(kind)
            self.definitions[kind.__name__].update(
                {
                    "description": inspect.cleandoc(kind.__doc__ or ""),
                    "type": "object",
                    "properties": members,
                    "required": list(members),
                    "additionalProperties": False,
                }
            )
        return {"$ref": f"#/$defs/{kind.__name__}"}

    def _members(self, kind: type) -> dict[str, Any]:
        hints = get_type_hints(kind)
        fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
        names = [f.name for f in fields] or list(hints)
        hidden = HIDDEN.get(kind, ())
        members = {name: self.of(hints[name]) for name in names if name not in hidden}
        for name in DERIVED.get(kind, ()):
            getter = getattr(kind, name).fget
            what = {"description": inspect.cleandoc(getter.__doc__ or "")}
            members[name] = self.of(get_type_hints(getter)["return"]) | what
        return members


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
