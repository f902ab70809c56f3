"""The rule file as types."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from onnxq.descriptor import QuantDescriptor
from onnxq.selectors import PREDICATES
from onnxq.validation import validate
from onnxq.yaml_source import Path_, Source

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


_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "rules": tuple(RuleSpec.model_fields),
    "match": tuple(PREDICATES),
    "descriptors": tuple(f.name for f in fields(QuantDescriptor)),
}


def _known(path: Path_) -> tuple[str, ...]:
    for part in reversed(path):
        if part in _KEYS:
            return _KEYS[str(part)]
    return tuple(f.alias or name for name, f in RecipeSpec.model_fields.items())


def validated(source: Source) -> RecipeSpec:
    """Check a parsed file; OnnxqError with every OQ103 and OQ104 in it, in file order."""
    return validate(RecipeSpec, source, _known)
