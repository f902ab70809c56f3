"""Give bfloat16 inputs and outputs the type float32, because NumPy has no bfloat16."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from onnxq.model.scopes import free_name, names, nodes


def with_float_ports(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy with Casts at bfloat16 inputs and outputs; the model itself without any.

    Inputs are rounded from float32 to bfloat16; outputs are converted to float32 without loss.
    """
    stored = {t.name for t in model.graph.initializer}
    inputs, outputs = (
        {v.name for v in values if _is_bfloat16(v) and v.name not in stored}
        for values in (model.graph.input, model.graph.output)
    )
    if not inputs | outputs:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph, taken = copy.graph, names(copy.graph)
    inner = {name: free_name(f"{name}_bfloat16", taken) for name in inputs | outputs}
    for _, node in nodes(graph):
        for slot, name in enumerate(node.input):
            node.input[slot] = inner.get(name, name)
        for slot, name in enumerate(node.output):
            node.output[slot] = inner.get(name, name)
    for place, name in enumerate(sorted(inputs)):
        graph.node.insert(place, _cast(name, inner[name], TensorProto.BFLOAT16))
    graph.node.extend(_cast(inner[n], n, TensorProto.FLOAT) for n in sorted(outputs - inputs))
    for value in (*graph.input, *graph.output):
        if value.name in inner:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    other_types = [v for v in graph.value_info if v.name not in inner]
    del graph.value_info[:]
    graph.value_info.extend(other_types)
    return copy


def _is_bfloat16(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.BFLOAT16)


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}_onnxq_port", to=to)
