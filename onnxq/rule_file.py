"""The rule file as types, and its validation, whose errors carry line and column."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from onnxq import yaml_source
from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import Diagnostic, OnnxqError, did_you_mean
from onnxq.selectors import PREDICATES

PORT: Final = re.compile(r"(inputs|outputs|weights|all|input\[\d+\])")
Ports = str | list[str]
_STRICT: Final = ConfigDict(extra="forbid", frozen=True)

if TYPE_CHECKING:
    MatchSpec = BaseModel
else:
    MatchSpec = create_model(
        "MatchSpec",
        __config__=_STRICT,
        **{
            key: (Annotated[p.value | None, Field(description=p.doc)], None)
            for key, p in PREDICATES.items()
        },
    )


class RuleSpec(BaseModel):
    """One rule: where (`match`), what (`quantize`, `skip`, `share_scale`) and `why`."""

    model_config = _STRICT
    id: str
    why: str
    match: MatchSpec
    quantize: dict[str, str] | None = None
    skip: Ports | None = None
    share_scale: Ports | None = None


class RecipeSpec(BaseModel):
    """A whole rule file."""

    model_config = _STRICT
    schema_: Annotated[Literal[1], Field(alias="schema")]
    extends: str | list[str] = []
    descriptors: dict[str, QuantDescriptor] = {}
    rules: list[RuleSpec] = []


def validated(source: yaml_source.Source) -> RecipeSpec:
    """Check a parsed file; OnnxqError with every OQ103 and OQ104 in it, in file order."""
    try:
        return RecipeSpec.model_validate(source.value)
    except ValidationError as reason:
        found = {_invalid(e, source) for e in reason.errors(include_url=False)}
        ordered = sorted(found, key=lambda d: (d.span.line, d.span.column) if d.span else (0, 0))
        raise OnnxqError(*ordered) from None


_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "": tuple(f.alias or name for name, f in RecipeSpec.model_fields.items()),
    "rules": tuple(RuleSpec.model_fields),
    "match": tuple(PREDICATES),
    "descriptors": tuple(f.name for f in fields(QuantDescriptor)),
}


def _invalid(reason: ErrorDetails, source: yaml_source.Source) -> Diagnostic:
    path = tuple(p for p in reason["loc"] if p not in ("str", "list[str]"))
    if reason["type"] == "extra_forbidden":
        parents = [str(p) for p in path[:-1]]
        known = _KEYS[next((p for p in reversed(parents) if p in _KEYS), "")]
        return Diagnostic(
            code="OQ103",
            message=f"unknown key '{path[-1]}'{_in_rule(path, source)}",
            fix=did_you_mean(str(path[-1]), known),
            span=source.span(path, key=True),
        )
    where = ".".join(str(p) for p in path)
    if reason["type"] == "missing":
        return Diagnostic(
            code="OQ104",
            message=f"the key '{path[-1]}' is missing{_in_rule(path, source)}",
            fix="add it",
            span=source.span(path[:-1]),
        )
    return Diagnostic(
        code="OQ104",
        message=f"{where or 'the file'}: {_lower(reason['msg'])}",
        fix="correct the value" if where else "a recipe is a mapping with 'schema' and 'rules'",
        span=source.span(path),
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _in_rule(path: yaml_source.Path_, source: yaml_source.Source) -> str:
    match path:
        case ("rules", int(index), *_):
            rule = source.value["rules"][index]
            name = rule.get("id") if isinstance(rule, dict) else None
            return f" in rule '{name}'" if name else ""
    return ""
