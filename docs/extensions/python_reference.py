"""Every public function and type of onnxq: its signature and its docstring."""

import inspect
import re
from typing import Any

import onnxq


def text() -> str:
    """Functions first, then types, both by name."""
    functions = [name for name in onnxq.__all__ if name.islower()]
    types = [name for name in onnxq.__all__ if name not in functions]
    sections = ["## Functions", *map(_section, functions), "## Types", *map(_section, types)]
    return "\n\n".join(sections)


def _section(name: str) -> str:
    member = getattr(onnxq, name)
    parts = [f"### onnxq.{name}"]
    if inspect.isfunction(member):
        parts.append(f"```python\n{_signature(name, member)}\n```")
    parts.append(inspect.getdoc(member) or "")
    parts.extend(_members(member) if inspect.isclass(member) else ())
    return "\n\n".join(parts)


def _members(kind: type) -> list[str]:
    """Public methods and properties that have a docstring of their own, as a list."""
    rows = []
    for name, member in inspect.getmembers(kind, _is_described):
        if not name.startswith("_") and name in vars(kind):
            summary = (inspect.getdoc(member) or "").partition("\n\n")[0]
            call = "()" if callable(member) else ""
            rows.append(f"- `{name}{call}`: {' '.join(summary.split())}")
    return ["\n".join(rows)] if rows else []


def _is_described(member: object) -> bool:
    kinds = inspect.isfunction(member), inspect.ismethod(member), isinstance(member, property)
    return any(kinds) and bool(inspect.getdoc(member))


def _signature(name: str, function: Any) -> str:
    """The signature, one parameter a line."""
    signature = inspect.signature(function)
    lines, keyword_only = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            lines.append("    *,")
        lines.append(f"    {_plain(str(parameter))},")
    returned = _plain(str(signature.return_annotation))
    return "\n".join((f"onnxq.{name}(", *lines, f") -> {returned}"))


def _plain(written: str) -> str:
    """Without the quotes of annotations and the addresses of default functions."""
    unquoted = re.sub(r": '([^']*)'", r": \1", written)
    return re.sub(r"<function (\w+) at \w+>", r"\1", unquoted)
