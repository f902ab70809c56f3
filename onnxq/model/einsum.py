"""Equations of Einsum: their labels, and what they multiply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, Final

_LABEL: Final = re.compile(r"\.\.\.|[A-Za-z]")
_ELLIPSIS: Final = "..."
Labels = tuple[str, ...]  # one for each dimension; '...' stands for any number of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Equation:
    """The labels of every operand and of the result."""

    operands: tuple[Labels, ...]
    result: Labels

    @property
    def multiplies(self) -> bool:
        """True when it sums over products of operands: a label of several is not in the result."""
        return any(self._readers(label) > 1 for label in self._summed)

    @property
    def obstacle(self) -> str:
        """Why TensorRT-RTX 1.7 computes the products in float, whatever the Q/DQ; '' where not."""
        if len(self.operands) > 2:
            return f"it has {len(self.operands)} operands"
        if any(len(set(labels)) < len(labels) for labels in self.operands):
            return "it repeats a label within one operand"
        if any(self._readers(label) < 2 for label in self._summed):
            return "it sums over a label of one operand"
        return ""

    def channel_axis(self, slot: int, rank: int) -> int | None:
        """The axis of an operand whose label only it gives to the result; None if not just one."""
        if slot >= len(self.operands):
            return None
        own = [
            label for label in self.operands[slot]
            if label in self.result and self._readers(label) == 1
        ]  # fmt: skip
        if len(own) != 1 or own[0] == _ELLIPSIS:
            return None
        labels = self.operands[slot]
        index = labels.index(own[0])
        behind_ellipsis = _ELLIPSIS in labels[:index]
        return index + rank - len(labels) if behind_ellipsis else index

    def macs(self, *sizes: tuple[int, ...]) -> int | None:
        """Multiply-accumulates for operands of these sizes, which are multiplied from the left.

        None when the sizes do not fit the labels.
        """
        if len(sizes) != len(self.operands):
            return None
        extents: dict[str, int] = {}
        for labels, operand in zip(self.operands, sizes, strict=True):
            hidden = len(operand) - len(labels) + (_ELLIPSIS in labels)
            if hidden < 0 or (hidden and _ELLIPSIS not in labels):
                return None
            for label, size in _extents(labels, operand, hidden).items():
                extents[label] = max(size, extents.get(label, 0))  # a size of 1 is broadcast
        total, joined = 0, set(self.operands[0])
        for index, labels in enumerate(self.operands[1:], start=1):
            joined |= set(labels)
            total += prod(extents[label] for label in joined)
            later = {label for rest in self.operands[index + 1 :] for label in rest}
            joined &= later | set(self.result)
        return total

    @property
    def _summed(self) -> frozenset[str]:
        return frozenset(label for labels in self.operands for label in labels) - set(self.result)

    def _readers(self, label: str) -> int:
        return sum(label in labels for labels in self.operands)


def _extents(labels: Labels, sizes: tuple[int, ...], hidden: int) -> dict[str, int]:
    """The size of each label; that of '...' is the product of all that it stands for."""
    extents: dict[str, int] = {}
    place = 0
    for label in labels:
        width = hidden if label == _ELLIPSIS else 1
        extents[label] = prod(sizes[place : place + width])
        place += width
    return extents


def equation_of(attributes: Mapping[str, Any]) -> Equation:
    """The equation among the attributes of an Einsum."""
    text = attributes.get("equation", b"")
    return _parsed(text.decode() if isinstance(text, bytes) else str(text))


@cache
def _parsed(text: str) -> Equation:
    left, arrow, right = text.partition("->")
    operands = tuple(tuple(_LABEL.findall(operand)) for operand in left.split(","))
    return Equation(
        operands=operands, result=tuple(_LABEL.findall(right)) if arrow else _implicit(operands)
    )


def _implicit(operands: tuple[Labels, ...]) -> Labels:
    """The labels that occur once, in the order of the alphabet, behind those of '...'."""
    labels = [label for operand in operands for label in operand]
    once = sorted(label for label in labels if labels.count(label) == 1 and label != _ELLIPSIS)
    return (_ELLIPSIS, *once) if _ELLIPSIS in labels else tuple(once)
