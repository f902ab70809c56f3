"""The table of operators that torch computes, and differentiates where they have a gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from onnxq.model.graph import Node
from onnxq.torch_graph import elementwise, layout, resize, sums, windows
from onnxq.torch_graph.row import Row

OPERATORS: Final[Mapping[str, Row]] = {
    **elementwise.ROWS,
    **layout.ROWS,
    **resize.ROWS,
    **sums.ROWS,
    **windows.ROWS,
}


def lacking(node: Node) -> str:
    """Why torch cannot compute a node, in words; '' where it can.

    A node in a body of If, Loop or Scan is not computed by itself.
    """
    if node.scope:
        return f"{node.type} inside a body"
    row = OPERATORS.get(node.type)
    if row is None:
        return node.type
    limit = row.limit(node)
    return f"{node.type} with {limit}" if limit else ""
