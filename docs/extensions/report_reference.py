"""The fields of `onnxq verify --json`, from its schema."""

from typing import Any

from onnxq.verification.schema import schema


def text() -> str:
    """One table for each kind of object, the report itself first."""
    kinds = schema()["$defs"]
    names = sorted(kinds, key=lambda name: (name != "VerifyReport", name))
    return "\n\n".join(_section(name, kinds[name]) for name in names)


def _section(name: str, definition: dict[str, Any]) -> str:
    parts = [f"## {name}", definition.get("description", "")]
    if "properties" in definition:
        rows = (f"| `{key}` | {_kind(value)} |" for key, value in definition["properties"].items())
        parts.append("\n".join(("| field | type |", "|---|---|", *rows)))
    else:
        parts.append(_kind(definition))
    return "\n\n".join(part for part in parts if part)


def _kind(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in value:
            return " or ".join(_kind(kind) for kind in value[several])
    if "enum" in value or "const" in value:
        return ", ".join(f"`{item}`" for item in value.get("enum", [value.get("const")]))
    if value.get("type") == "array":
        return f"list of {_kind(value.get('items', {}))}"
    if isinstance(value.get("additionalProperties"), dict):
        return f"by name {_kind(value['additionalProperties'])}"
    return str(value.get("type", "any"))
