"""OQ609: TensorRT has every op, or a plugin of its name."""

from collections.abc import Iterator
from typing import Final

from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel
from onnxq.linting.registry import rule
from onnxq.model.compiler_ops import support
from onnxq.model.graph import Node
from onnxq.model.ops import is_integer_op
from onnxq.model.pairs import is_pair_node

_EXPORT: Final = "export the model again without optimizations for onnxruntime"
_REPLACE: Final = "replace it by other operators in the export"
_LIBRARY: Final = (
    "give its library to TensorRT, unless it is one of TensorRT's own; "
    "'onnxq verify' compiles what is in front of it"
)


@rule("OQ609")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find ops that TensorRT does not import, and those that it takes for others."""
    functions = {function.name for function in model.proto.functions}
    for node in model.graph.nodes:
        if node.op in functions or is_pair_node(node) or is_integer_op(node.type):
            continue
        if (made_of := _finding(node)) is not None:
            yield made_of


def _finding(node: Node) -> Finding | None:
    called = f"{node.type} '{node.name}'"
    match support(node.op, node.domain):
        case "other":
            effect, fix = Effect.DIFFERENT, _EXPORT
            message = (
                f"TensorRT takes {called} for the {node.op} of ONNX, whose layout is different"
            )
        case "rejected":
            fix = _EXPORT if node.domain.startswith("com.m") else _REPLACE
            effect = Effect.REJECTED
            message = f"{called} is an operator that TensorRT cannot import"
        case "plugin":
            effect, fix = Effect.NOTE, _LIBRARY
            message = f"{called} is a plugin to TensorRT: it builds only with a plugin of this name"
        case _:
            return None
    return finding("OQ609", effect, message, fix=fix, node=node.name)
