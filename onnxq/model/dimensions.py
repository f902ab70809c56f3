"""Names of dynamic sizes: dimensions of one name are equal, say ONNX and TensorRT."""

from __future__ import annotations

from collections.abc import Container, Iterator

import onnx


def forget_marks(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave dimensions unnamed, in place, whose name has no letter or digit.

    Such as '?', which some exporters write for every size that they do not know. Taken for a name
    it says that all of them are equal, and TensorRT rejects the inputs that then contradict.
    """
    for dim in _dimensions(model):
        if dim.dim_param and not any(map(str.isalnum, dim.dim_param)):
            dim.Clear()
    return model


def without_names(model: onnx.ModelProto, names: Container[str]) -> onnx.ModelProto:
    """Copy a model with dimensions of some names left unnamed."""
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
