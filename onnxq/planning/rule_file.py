"""The rule file as types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from onnxq.descriptor import Calibrator, Granularity, Method, QuantDescriptor
from onnxq.formats import DType
from onnxq.planning.improvers import ImproverName
from onnxq.planning.selectors import PREDICATES
from onnxq.validation import validate
from onnxq.yaml_source import Document, KeyPath

PORT: Final = re.compile(r"inputs|outputs|weights|all|(in|out)put\[[0-9]{1,9}\]")
Ports = str | list[str]
_STRICT: Final = ConfigDict(extra="forbid", frozen=True, strict=True)


if TYPE_CHECKING:
    MatchSpec = BaseModel
else:
    MatchSpec = create_model(
        "MatchSpec",
        __config__=_STRICT,
        __doc__="Where a rule applies: every key must hold.",
        **{
            key: (p.value, Field(default=None, description=" ".join(p.doc.split())))
            for key, p in PREDICATES.items()
        },
    )
    MatchSpec.model_rebuild(_types_namespace={"MatchSpec": MatchSpec})


class DescriptorSpec(BaseModel):
    """How tensors are quantized; a key left out has the value of `extends`, else the default."""

    model_config = _STRICT
    extends: str | None = None
    dtype: DType | None = None
    granularity: Granularity | None = None
    axis: int | None = None
    block_size: int | None = None
    narrow_range: bool | None = None
    calibrator: Calibrator | None = None
    method: Method | None = None
    percentile: float | None = None
    amax: float | None = None

    def resolve(self, defined: Mapping[str, QuantDescriptor]) -> QuantDescriptor:
        """Return the descriptor.

        Raises KeyError when `extends` is not defined, ValueError when the values contradict.
        """
        own = self.model_dump(exclude_unset=True, exclude={"extends"})
        ways = {"method", "percentile", "calibrator"}  # to find a range that is not fixed
        if "amax" in own and (other := sorted(ways & own.keys())):
            raise ValueError(f"'amax' is the range itself; drop it, or drop '{other[0]}'")
        base = {} if self.extends is None else asdict(defined[self.extends])
        # Some values of the extended descriptor suit its own calibrator or granularity alone.
        suited = {"calibrator": ("method",), "granularity": ("axis", "block_size")}
        for key in suited.keys() & own.keys():
            base = {k: v for k, v in base.items() if k not in suited[key]}
        if "amax" in own or ways & own.keys():
            dropped = ways if "amax" in own else {"amax"}
            base = {k: v for k, v in base.items() if k not in dropped}
        return QuantDescriptor(**{**base, **own})


class ShareSpec(BaseModel):
    """Ports whose pairs share one scale where their ranges allow it."""

    model_config = _STRICT
    ports: Ports
    within: Annotated[
        float,
        Field(
            ge=1,
            allow_inf_nan=False,
            description="A tensor whose range is more than this many times smaller than the "
            "largest of its group leaves the tie and keeps a scale of its own.",
        ),
    ]


class RuleSpec(BaseModel):
    """One rule: where (`match`), what (the actions: `quantize` to `improve`) and `why`."""

    model_config = _STRICT
    id: str
    why: str
    match: MatchSpec
    quantize: Annotated[
        dict[str, str | DescriptorSpec] | None,
        Field(description="A descriptor, by name or written out, for each port."),
    ] = None
    skip: Annotated[Ports | None, Field(description="Ports that stay in float.")] = None
    share_scale: Annotated[
        Ports | ShareSpec | None,
        Field(description="Ports whose pairs, where there are any, share one scale."),
    ] = None
    keep_fp32: Annotated[
        bool | None,
        Field(
            description="Whether the op computes in FP32 where the float rest is FP16 or BF16; "
            "false takes an earlier rule back."
        ),
    ] = None
    prefer_half: Annotated[
        bool | None,
        Field(
            description="Whether the op has no pairs, and computes in half precision, where the "
            "float rest is FP16 or BF16; false takes an earlier rule back."
        ),
    ] = None
    improve: Annotated[
        list[ImproverName] | None,
        Field(
            description="What `onnxq improve` may do to the op, in place of what earlier rules let "
            "it do; an empty list forbids all."
        ),
    ] = None
    required: Annotated[
        bool, Field(description="It is an error when the rule matches nothing.")
    ] = False


class RecipeSpec(BaseModel):
    """A whole rule file."""

    model_config = ConfigDict(title="onnxq recipe", **_STRICT)
    schema_: Annotated[Literal[1], Field(alias="schema", description="Always 1.")]
    extends: Annotated[
        Ports, Field(description="Shipped recipes, or files beside this one, that come first.")
    ] = []
    descriptors: dict[str, DescriptorSpec] = {}
    rules: list[RuleSpec] = []


_DESCRIPTOR_KEYS: Final = tuple(DescriptorSpec.model_fields)
_KEYS_IN: Final[dict[str, tuple[str, ...]]] = {
    **{key: tuple(PREDICATES) for key in ("match", *PREDICATES)},
    "rules": tuple(RuleSpec.model_fields),
    "share_scale": tuple(ShareSpec.model_fields),
    "quantize": _DESCRIPTOR_KEYS,
    "descriptors": _DESCRIPTOR_KEYS,
}


def _keys(path: KeyPath) -> tuple[str, ...]:
    """The keys that the mapping at a path may have."""
    for part in reversed(path):
        if part in _KEYS_IN:
            return _KEYS_IN[str(part)]
    return tuple(f.alias or name for name, f in RecipeSpec.model_fields.items())


def validated(document: Document) -> RecipeSpec:
    """Check a document; OnnxqError with every OQ103 and OQ104 in it, in its order."""
    return validate(RecipeSpec, document, _keys)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a rule file, for editors."""
    return RecipeSpec.model_json_schema(by_alias=True)
