"""Ties -> share groups: ties that have a tensor in common become one group."""

from __future__ import annotations

from collections.abc import Iterable

from onnxq.planning.plan import Group, Tie


def joined(ties: Iterable[Tie], *, least: int = 2) -> tuple[Group, ...]:
    """The groups of `least` or more tensors, in the order of their first tie."""
    ties = [tie for tie in ties if tie.tensors]
    parent: dict[str, str] = {}
    for tie in ties:
        for tensor in tie.tensors:
            parent.setdefault(tensor, tensor)
            parent[_root(parent, tensor)] = _root(parent, tie.tensors[0])
    members: dict[str, list[str]] = {}
    for tensor in parent:
        members.setdefault(_root(parent, tensor), []).append(tensor)
    of_group: dict[str, list[Tie]] = {}
    for tie in ties:
        of_group.setdefault(_root(parent, tie.tensors[0]), []).append(tie)
    return tuple(
        Group(tensors=tuple(tensors), ties=tuple(of_group[root]))
        for root, tensors in members.items()
        if len(tensors) >= least
    )


def _root(parent: dict[str, str], tensor: str) -> str:
    while parent[tensor] != tensor:
        parent[tensor] = parent[parent[tensor]]
        tensor = parent[tensor]
    return tensor
