"""OQ620: the opset has what the Q/DQ nodes use."""

from collections.abc import Iterator
from typing import Final

from onnx import TensorProto

from onnxq.graph import Node
from onnxq.lint.finding import Effect, Finding, finding
from onnxq.lint.qdq import QdqModel, is_blocked
from onnxq.lint.registry import rule
from onnxq.model import opset

_FP8: Final = (TensorProto.FLOAT8E4M3FN,)
_INT4: Final = (TensorProto.INT4,)
_HALF: Final = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


@rule("OQ620")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find what came with a later opset than the model's."""
    have = opset(model.proto)
    told: set[str] = set()
    for node in model.pair_nodes:
        version, what = needed(model, node)
        if version > have and what not in told:
            told.add(what)
            yield finding(
                "OQ620",
                Effect.REJECTED,
                f"{node.op} '{node.name}' uses {what}, which needs opset {version}; "
                f"the model has {have}",
                fix=f"export the model with opset {version} or newer",
                node=node.name,
            )


def needed(model: QdqModel, node: Node) -> tuple[int, str]:
    """The first opset that has what a Q or DQ uses, and what that is."""
    data = {model.graph.type(t).dtype for t in (*node.inputs[::2], *node.outputs)}
    scale = model.graph.type(node.inputs[1]).dtype
    uses = (
        (21, "block quantization", is_blocked(node)),
        (21, "INT4", bool(data.intersection(_INT4))),
        (19, "FP8", bool(data.intersection(_FP8))),
        (19, "16-bit scales", scale in _HALF),
        (
            13,
            "a scale for each channel",
            "axis" in node.attributes or bool(model.scale_shape(node)),
        ),
        (10, "quantization", True),
    )
    return next((version, what) for version, what, used in uses if used)
