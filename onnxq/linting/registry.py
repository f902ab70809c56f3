"""The rules of lint by code. Every module in `onnxq/linting/rules` adds its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Finding
from onnxq.linting.qdq import QdqModel

Check = Callable[[QdqModel], Iterator[Finding]]
Repairer = Callable[[QdqModel, Edit], Iterator[Repair]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The check of one code, and its repairs where there are any."""

    code: str
    check: Check
    repairs: list[Repairer] = field(default_factory=list)


RULES: Final[dict[str, Rule]] = {}


def rule(code: str) -> Callable[[Check], Check]:
    """Register a check: it yields every finding of its code in a model."""

    def register(check: Check) -> Check:
        if code in RULES:
            raise AssertionError(f"{code} has a rule already")
        RULES[code] = Rule(code=code, check=check)
        return check

    return register


def repair(code: str) -> Callable[[Repairer], Repairer]:
    """Register a repair for a rule: it edits the model and yields the repairs."""

    def register(repairer: Repairer) -> Repairer:
        RULES[code].repairs.append(repairer)
        return repairer

    return register


def findings(model: QdqModel) -> list[Finding]:
    """Every finding of every rule in a model, in the order of the codes."""
    return [finding for code in sorted(RULES) for finding in RULES[code].check(model)]
