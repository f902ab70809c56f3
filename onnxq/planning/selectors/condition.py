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
_COMPARISON: Final = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(.+?)\s*")


def condition(wanted: Any) -> Condition:
    """Read a condition; text that does not begin with a comparison is compared for equality."""
    if isinstance(wanted, str) and (found := _COMPARISON.fullmatch(wanted)):
        compare, operand = _COMPARISONS[found[1]], _number(found[2])
        if not isinstance(operand, (int, float)) and found[1] not in ("==", "!="):
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
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _compared(compare: Callable[[Any, Any], bool], value: Any, operand: Any) -> bool:
    if isinstance(operand, str) != isinstance(value, str) or isinstance(value, list):
        return False
    return bool(compare(value, operand))


def plain(value: Any) -> Any:
    """An attribute's value as YAML would give it: text for bytes, lists for sequences."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value
