"""The rules of lint by code. Every module in `onnxq/lint/rules` adds its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from onnxq.lint.finding import Finding
from onnxq.lint.qdq import QdqModel

Check = Callable[[QdqModel], Iterator[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A check of one code."""

    code: str
    check: Check


RULES: Final[dict[str, Rule]] = {}


def rule(code: str) -> Callable[[Check], Check]:
    """Register a check: it yields every finding of its code in a model."""

    def register(check: Check) -> Check:
        if code in RULES:
            raise AssertionError(f"{code} has a rule already")
        RULES[code] = Rule(code=code, check=check)
        return check

    return register
