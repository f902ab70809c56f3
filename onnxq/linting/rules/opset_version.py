"""OQ620: the opset has everything that the Q/DQ nodes use."""

from collections.abc import Iterator
from typing import Final

import onnx
from onnx import TensorProto

from onnxq.formats import BLOCKS, FORMATS, HALF_SCALES, PER_CHANNEL
from onnxq.linting.edit import Edit, Repair
from onnxq.linting.finding import Effect, Finding, finding
from onnxq.linting.qdq import QdqModel, is_blocked
from onnxq.linting.registry import repair, rule
from onnxq.model import weights
from onnxq.model.graph import Node
from onnxq.model.preparing import name_nodes, opset, restore

_HALF: Final = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_QUANTIZATION: Final = 10  # the first opset with Q/DQ
# What onnx raises where it cannot raise the opset, or makes something invalid of the model.
_REFUSALS: Final = (
    RuntimeError,  # of assertions in its C++
    onnx.version_converter.ConvertError,
    onnx.shape_inference.InferenceError,
    onnx.checker.ValidationError,
)


@rule("OQ620")
def check(model: QdqModel) -> Iterator[Finding]:
    """Find features of a later opset than the model's."""
    have = opset(model.proto)
    reported: set[str] = set()
    for node in model.pair_nodes:
        version, what = needed(model, node)
        if version > have and what not in reported:
            reported.add(what)
            yield finding(
                "OQ620",
                Effect.INVALID,
                f"{node.op} '{node.name}' uses {what}, which needs opset {version}; "
                f"the model has {have}",
                fix=f"export the model with opset {version} or newer",
                node=node.name,
            )


def needed(model: QdqModel, node: Node) -> tuple[int, str]:
    """The first opset that has everything that a Q or DQ uses, and the feature that needs it."""
    data = {model.graph.type(t).dtype for t in (*node.inputs[::2], *node.outputs)}
    scale = model.graph.type(node.inputs[1]).dtype
    uses = (
        (BLOCKS, "block quantization", is_blocked(node)),
        (FORMATS["int4"].opset, "INT4", FORMATS["int4"].proto in data),
        (FORMATS["fp8e4m3"].opset, "FP8", FORMATS["fp8e4m3"].proto in data),
        (HALF_SCALES, "16-bit scales", scale in _HALF),
        (
            PER_CHANNEL,
            "a scale for each channel",
            "axis" in node.attributes or bool(model.scale_shape(node)),
        ),
        (_QUANTIZATION, "quantization", True),
    )
    return next((version, what) for version, what, used in uses if used)


@repair("OQ620")
def raise_opset(model: QdqModel, edit: Edit) -> Iterator[Repair]:
    """Convert the model to the first opset that has everything it uses."""
    have, most = opset(model.proto), max((needed(model, n)[0] for n in model.pair_nodes), default=0)
    if most <= have or have == 0:
        return
    try:
        raised = onnx.version_converter.convert_version(edit.model, most)
        del raised.graph.value_info[:]  # inferred for the opset before
        raised.graph.value_info.extend(edit.model.graph.value_info)
        inferred = onnx.shape_inference.infer_shapes(raised)
        onnx.checker.check_model(weights.as_inputs(inferred))  # which takes no absolute paths
    except _REFUSALS:  # the model stays as it is
        return
    least = onnx.helper.find_min_ir_version_for(raised.opset_import, ignore_unknown=True)
    raised.ir_version = max(raised.ir_version, least)
    edit.model = name_nodes(restore(raised, edit.model))
    text = f"the opset is {most} instead of {have}"
    yield Repair(code="OQ620", node="", text=text, exact=True)
