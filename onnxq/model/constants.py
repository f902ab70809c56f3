"""Constants of a graph: initializers, Constant nodes, and values computed from those alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import defs, helper, numpy_helper

from onnxq.diagnostics import OnnxqError, error, first_line
from onnxq.model import weights
from onnxq.model.ops import RANDOM, domain_of
from onnxq.model.pairs import PAIR_OPS
from onnxq.model.scopes import nodes, scopes, subgraphs


class Constants:
    """The constants of a graph, by tensor name; folded values are computed on demand.

    A weight often reaches its op through Identity, Transpose, Reshape or Cast. Constants in bodies
    of If, Loop and Scan are included. Of two constants of one name the outer one counts.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._stored: dict[str, onnx.TensorProto] = {}
        for _, inner in scopes(graph):
            self._stored = _stored(inner) | self._stored
        self._makers: dict[str, onnx.NodeProto] = {}
        self._folded: dict[str, NDArray[Any]] = {}
        for _, node in nodes(graph):
            if _is_foldable(node) and all(not name or name in self for name in node.input):
                self._makers |= {out: node for out in node.output if out}

    def __contains__(self, tensor: object) -> bool:
        return tensor in self._stored or tensor in self._makers

    def stored(self) -> dict[str, onnx.TensorProto]:
        """Initializers and values of Constant nodes."""
        return self._stored

    def array(self, tensor: str) -> NDArray[Any]:
        """Values of a constant; KeyError for any other tensor, OQ309 for one that has no value."""
        if (stored := self._stored.get(tensor)) is not None:
            return weights.array(stored)
        if tensor not in self._folded:
            self._fold(self._makers[tensor])
        return self._folded[tensor]

    def _fold(self, node: onnx.NodeProto) -> None:
        self._folded |= self.results(node)

    def results(self, node: onnx.NodeProto) -> dict[str, NDArray[Any]]:
        """What a node makes of constants, by output; OQ309 where its inputs do not fit."""
        from onnx.reference import ReferenceEvaluator

        inputs = {name: self.array(name) for name in node.input if name}
        try:
            with np.errstate(all="ignore"):
                values = ReferenceEvaluator(node).run(None, inputs)
        except Exception as reason:  # it raises whatever numpy does, and assertions
            raise no_value(node, self, first_line(reason)) from None
        return {name: np.asarray(value) for name, value in zip(node.output, values, strict=False)}


def no_value(node: onnx.NodeProto, constants: Constants, reason: str) -> OnnxqError:
    """The error that a node computes nothing from its constants (OQ309)."""
    arrays = {name: constants.array(name) for name in node.input if name}
    shapes = ", ".join(f"'{name}' {list(array.shape)}" for name, array in arrays.items())
    return error(
        "OQ309",
        f"{node.op_type} '{node.name}' computes no value from its constants {shapes}: {reason}",
        fix="correct the model; of scales that do not fit 'onnxq lint --fix' repairs some",
    )


def _stored(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    sparse = {s.values.name: _dense(s) for s in graph.sparse_initializer}
    return {t.name: t for t in graph.initializer} | _constant_nodes(graph) | sparse


def _is_foldable(node: onnx.NodeProto) -> bool:
    # A weight behind a pair is the float tensor that the pair stands for, and no constant.
    return (
        not domain_of(node.domain)
        and any(node.input)
        and node.op_type not in RANDOM | PAIR_OPS
        and defs.has(node.op_type)
        and not any(True for _ in subgraphs(node))
    )


def _constant_nodes(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    return {
        node.output[0]: tensor
        for node in graph.node
        if node.op_type == "Constant" and not node.domain
        for attribute in node.attribute
        if (tensor := _constant_value(attribute)) is not None
    }


def _constant_value(attribute: onnx.AttributeProto) -> onnx.TensorProto | None:
    """The tensor in an attribute of a Constant node; None for strings."""
    if attribute.name == "value":
        return attribute.t
    if attribute.name == "sparse_value":
        return _dense(attribute.sparse_tensor)
    dtypes = {"value_float": np.float32, "value_int": np.int64}
    dtype = dtypes.get(attribute.name.removesuffix("s"))
    value = helper.get_attribute_value(attribute)
    return None if dtype is None else numpy_helper.from_array(np.asarray(value, dtype))


def _dense(sparse: onnx.SparseTensorProto) -> onnx.TensorProto:
    """A sparse tensor as a dense one; indices are flat, or have one row for each value."""
    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim > 1:
        indices = np.ravel_multi_index(tuple(indices.T), dense.shape)
    dense.flat[indices] = values
    return numpy_helper.from_array(dense, sparse.values.name)
