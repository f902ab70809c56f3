"""Conditions on one value, as YAML writes them: 3, "> 1", "!= SAME_UPPER", [1, 1]."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Final

from onnxq.planning.selectors.base import InvalidMatchError

Condition = Callable[[Any], bool]
ANY: Final = "_"

_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_SHOWN: Final = 60
_COMPARISON: Final = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(.+?)\s*")


def condition(wanted: Any) -> Condition:
    """Read a condition; text that does not begin with a comparison is compared for equality."""
    if isinstance(wanted, str) and (parts := _COMPARISON.fullmatch(wanted)):
        compare, operand = _COMPARISONS[parts[1]], _number(parts[2])
        if not isinstance(operand, (int, float)) and parts[1] not in ("==", "!="):
            raise InvalidMatchError(
                f"'{wanted}' compares with something that is not a number",
                fix="give a number, or compare with == or !=",
            )
        return lambda value: _compared(compare, plain(value), operand)
    return lambda value: bool(plain(value) == plain(wanted))


def is_comparison(text: str) -> bool:
    """True for text such as '< 16'."""
    return _COMPARISON.fullmatch(text) is not None


def _number(text: str) -> int | float | str:
    for number_type in (int, float):
        try:
            return number_type(text)
        except ValueError:
            continue
    return text


def _compared(compare: Callable[[Any, Any], bool], value: Any, operand: Any) -> bool:
    """False for values that are not comparable: numbers with texts, and lists, tensors, graphs."""
    comparable = str if isinstance(operand, str) else (int, float)
    return isinstance(value, comparable) and bool(compare(value, operand))


def shown(value: Any) -> str:
    """An attribute's value for a message, in at most 60 characters."""
    value = plain(value)
    if not isinstance(value, (int, float, str, list)):
        return f"a {type(value).__name__}"
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def plain(value: Any) -> Any:
    """An attribute's value as YAML would give it: text for bytes, lists for sequences."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value
