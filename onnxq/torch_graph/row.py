"""What a row of the table of operators is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from onnxq.model.graph import Node

Result = Tensor | tuple[Tensor, ...]
# Called with the node and one tensor an input; None for an optional input that is absent.
Compute = Callable[..., Result]


def _any(node: Node) -> str:
    """No limit."""
    return ""


@dataclass(frozen=True, slots=True)
class Row:
    """How torch computes an operator, as of opset 13 and newer.

    `limit` returns what of a node is beyond the row, in words; '' for a node that it computes.
    """

    compute: Compute
    limit: Callable[[Node], str] = _any


def one_output(node: Node) -> str:
    """The limit of rows that compute the first output alone."""
    return "more than one output" if any(node.outputs[1:]) else ""


def plain(function: Callable[..., Any]) -> Row:
    """The row of an operator without attributes, from a function of its inputs."""
    return Row(lambda node, *inputs: function(*inputs))


def integers(tensor: Tensor | None) -> list[int]:
    """The values of a tensor of whole numbers; [] where it is absent."""
    return [] if tensor is None else [int(v) for v in tensor.reshape(-1).tolist()]
