"""Names of dynamic sizes. To ONNX and TensorRT dimensions of one name are equal."""

from __future__ import annotations

from collections.abc import Container, Iterator

import onnx


def clear_placeholder_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """Clear names of dimensions that have no letter or digit, such as '?', in place.

    Some exporters write '?' for every size that they do not know. Read as a name it says that all
    these sizes are equal, and TensorRT rejects inputs of other sizes.
    """
    for dim in _dimensions(model):
        if dim.dim_param and not any(map(str.isalnum, dim.dim_param)):
            dim.Clear()
    return model


def without_names(model: onnx.ModelProto, names: Container[str]) -> onnx.ModelProto:
    """Copy a model, with these names of dimensions cleared."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for dim in _dimensions(copy):
        if dim.dim_param and dim.dim_param in names:
            dim.Clear()
    return copy


def _dimensions(model: onnx.ModelProto) -> Iterator[onnx.TensorShapeProto.Dimension]:
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield from value.type.tensor_type.shape.dim
