"""Names of dynamic sizes. To ONNX and TensorRT dimensions of one name are equal."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

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


def with_ranks(model: onnx.ModelProto, ranks: Mapping[str, int]) -> onnx.ModelProto:
    """Copy a model, with dynamic dimensions for inputs of unknown rank; itself where it has none.

    TensorRT rejects some ops behind an input without a shape. What was inferred is dropped.
    """
    if not any(_is_unranked(value) and value.name in ranks for value in model.graph.input):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in copy.graph.input:
        if _is_unranked(value) and value.name in ranks:
            value.type.tensor_type.shape.SetInParent()
            for _ in range(ranks[value.name]):
                value.type.tensor_type.shape.dim.add()
    del copy.graph.value_info[:]
    return copy


def _is_unranked(value: onnx.ValueInfoProto) -> bool:
    return not value.type.tensor_type.HasField("shape")


def _dimensions(model: onnx.ModelProto) -> Iterator[onnx.TensorShapeProto.Dimension]:
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield from value.type.tensor_type.shape.dim
