"""Inner tensors as outputs of a model, also those in the bodies of its If, Loop and Scan.

The output for a tensor of a body is one flat tensor with its values of every run of the body. It is
empty for a branch that was not taken: the other branch gives out an empty tensor. A Loop gathers
the values in a sequence, as shapes may differ between its iterations. A Scan becomes a Loop first,
as it can carry neither sequences nor changing sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper

from onnxq.model.scopes import bodies, defined, scopes

_Value = TypeVar("_Value", int, list[int])
# Nodes to add before and behind a node, and tensors with the names of their flat copies.
_Additions = tuple[list[onnx.NodeProto], list[onnx.NodeProto], list[tuple[str, str]]]

INSIDE: Final = "onnxq/inside/"  # prefix of outputs for tensors of bodies
_ANY: Final[list[int | str | None]] = [None]  # the shape of a flat tensor


def with_inner_outputs(model: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """Copy the model with inner tensors as further outputs, whose types onnxruntime infers.

    Tensors of bodies must be numbers. They become flat float32 arrays, and their outputs are called
    `INSIDE` and the name; `sessions.run` knows them by the tensors' names. Names must be unique
    over the model (`name_nodes`).
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    have = {o.name for o in copy.graph.output}
    inner = {name for scope, graph in scopes(copy.graph) if scope for name in defined(graph)}
    wanted = dict.fromkeys(tensors)
    copy.graph.output.extend(
        onnx.ValueInfoProto(name=t) for t in wanted if t not in have and t not in inner
    )
    for tensor, name in _InnerOutputs(inner.intersection(wanted)).out_of_bodies(copy.graph):
        copy.graph.node.append(helper.make_node("Identity", [name], [INSIDE + tensor]))
        copy.graph.output.append(_flat(INSIDE + tensor))
    return copy


def _flat(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, _ANY)


def _sequence(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_sequence_value_info(name, TensorProto.FLOAT, _ANY)


def _attribute(node: onnx.NodeProto, name: str, default: _Value) -> _Value:
    attribute = next((a for a in node.attribute if a.name == name), None)
    return default if attribute is None else helper.get_attribute_value(attribute)


def _constant(name: str, dtype: int, shape: list[int], values: list[int]) -> onnx.NodeProto:
    value = helper.make_tensor(name, dtype, shape, values)
    return helper.make_node("Constant", [], [name], value=value)


class _InnerOutputs:
    """The edit of a graph in place, from the innermost bodies outwards."""

    def __init__(self, wanted: set[str]) -> None:
        self._wanted = wanted
        self._count = 0

    def _new(self, what: str) -> str:
        self._count += 1
        return f"{INSIDE}{self._count}/{what}"

    def out_of_bodies(self, graph: onnx.GraphProto) -> list[tuple[str, str]]:
        """Let the nodes of a graph give out the wanted tensors of their bodies.

        Returns each tensor with the name of its flat copy in this graph.
        """
        flat_names: list[tuple[str, str]] = []
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            before: list[onnx.NodeProto] = []
            after: list[onnx.NodeProto] = []
            if any(self._holds_wanted(body) for _, body in bodies(node)):
                if node.op_type == "Scan":
                    before, after = self._as_loop(node)
                give = self._from_branches if node.op_type == "If" else self._from_loop
                first, last, copies = give(node)
                before, after = [*before, *first], [*after, *last]
                flat_names += copies
            nodes += [*before, node, *after]
        del graph.node[:]
        graph.node.extend(nodes)
        return flat_names

    def _holds_wanted(self, body: onnx.GraphProto) -> bool:
        return any(not self._wanted.isdisjoint(defined(graph)) for _, graph in scopes(body))

    def _flattened(self, body: onnx.GraphProto) -> list[tuple[str, str]]:
        """Add flat copies of the wanted tensors of a body, and of the bodies in it."""
        flat_names = self.out_of_bodies(body)
        whole = self._new("shape")
        own = [name for name in dict.fromkeys(defined(body)) if name in self._wanted]
        if own:
            body.node.append(_constant(whole, TensorProto.INT64, [1], [-1]))
        for tensor in own:
            flat, floats = self._new("flat"), self._new("floats")
            body.node.append(helper.make_node("Cast", [tensor], [floats], to=TensorProto.FLOAT))
            body.node.append(helper.make_node("Reshape", [floats, whole], [flat]))
            flat_names.append((tensor, flat))
        return flat_names

    def _from_branches(self, node: onnx.NodeProto) -> _Additions:
        branches = [body for _, body in bodies(node)]
        copies = []
        for taken in branches:
            for tensor, flat in self._flattened(taken):
                taken.output.append(_flat(flat))
                for other in (b for b in branches if b is not taken):
                    empty = self._new("empty")
                    other.node.append(_constant(empty, TensorProto.FLOAT, [0], []))
                    other.output.append(_flat(empty))
                node.output.append(self._new("branch"))
                copies.append((tensor, node.output[-1]))
        return [], [], copies

    def _from_loop(self, node: onnx.NodeProto) -> _Additions:
        ((_, body),) = bodies(node)
        before: list[onnx.NodeProto] = []
        after: list[onnx.NodeProto] = []
        copies = []
        for tensor, flat in self._flattened(body):
            empty, first, all_, whole = (
                self._new(what) for what in ("empty", "first", "all", "loop")
            )
            so_far, more = self._new("before"), self._new("after")
            carried = len(node.input) - 2
            before += [
                _constant(empty, TensorProto.FLOAT, [0], []),
                helper.make_node("SequenceConstruct", [empty], [first]),
            ]
            node.input.append(first)
            body.input.append(_sequence(so_far))
            body.node.append(helper.make_node("SequenceInsert", [so_far, flat], [more]))
            body.output.insert(1 + carried, _sequence(more))
            while len(node.output) < carried:
                node.output.append("")
            node.output.insert(carried, all_)
            after.append(helper.make_node("ConcatFromSequence", [all_], [whole], axis=0))
            copies.append((tensor, whole))
        return before, after, copies

    def _as_loop(self, node: onnx.NodeProto) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
        """Make a Loop of a Scan, in place; return the nodes to add before and behind it."""
        ((_, body),) = bodies(node)
        count = _attribute(node, "num_scan_inputs", 0)
        states = len(node.input) - count
        slices, results = list(body.input[states:]), len(body.output) - states
        shape, axis, length, unit = (self._new(what) for what in ("shape", "axis", "length", "one"))
        axes = _attribute(node, "scan_input_axes", [0] * count)
        before = [
            helper.make_node("Shape", [node.input[states]], [shape]),
            _constant(axis, TensorProto.INT64, [], [axes[0]]),
            helper.make_node("Gather", [shape, axis], [length], axis=0),
            _constant(unit, TensorProto.INT64, [], [1]),
        ]
        step, backward = self._new("step"), self._new("backward")
        last = self._new("last")
        inner = [
            helper.make_node("Sub", [length, unit], [last]),
            helper.make_node("Sub", [last, step], [backward]),
        ]
        turned = _attribute(node, "scan_input_directions", [0] * count)
        for number, value in enumerate(slices):
            place = backward if turned[number] else step
            inputs = [node.input[states + number], place]
            inner.append(helper.make_node("Gather", inputs, [value.name], axis=axes[number]))
        go, going = self._new("go"), self._new("going")
        inner.append(helper.make_node("Identity", [go], [going]))
        nodes = [*inner, *body.node]
        del body.node[:], body.input[states:]
        body.node.extend(nodes)
        body.input.insert(0, helper.make_tensor_value_info(step, TensorProto.INT64, []))
        body.input.insert(1, helper.make_tensor_value_info(go, TensorProto.BOOL, []))
        body.output.insert(0, helper.make_tensor_value_info(going, TensorProto.BOOL, []))
        after = list(self._turned(node, states, results))
        node.op_type = "Loop"
        node.input[:] = [length, "", *node.input[:states]]
        kept = [a for a in node.attribute if a.name == "body"]
        del node.attribute[:]
        node.attribute.extend(kept)
        return before, after

    def _turned(self, node: onnx.NodeProto, states: int, results: int) -> Iterator[onnx.NodeProto]:
        """Give the results of a Loop the order and the axis that the Scan had."""
        axes = _attribute(node, "scan_output_axes", [0] * results)
        directions = _attribute(node, "scan_output_directions", [0] * results)
        for number in range(results):
            slot = states + number
            if slot >= len(node.output) or not node.output[slot]:
                continue
            nodes = []
            if axes[number]:
                parts, stacked = self._new("parts"), self._new("stacked")
                nodes += [
                    helper.make_node("SplitToSequence", [stacked], [parts], axis=0, keepdims=0),
                    helper.make_node(
                        "ConcatFromSequence",
                        [parts],
                        [node.output[slot]],
                        axis=axes[number],
                        new_axis=1,
                    ),
                ]
                node.output[slot] = stacked
            if directions[number]:
                nodes = [*self._reversed(node, slot), *nodes]
            yield from nodes

    def _reversed(self, node: onnx.NodeProto, slot: int) -> list[onnx.NodeProto]:
        """Turn a result around along its first axis."""
        forward, end, first, back = (self._new(w) for w in ("forward", "end", "first", "back"))
        nodes = [
            _constant(end, TensorProto.INT64, [1], [np.iinfo(np.int64).min]),
            _constant(back, TensorProto.INT64, [1], [-1]),
            _constant(first, TensorProto.INT64, [1], [0]),
            helper.make_node("Slice", [forward, back, end, first, back], [node.output[slot]]),
        ]
        node.output[slot] = forward
        return nodes
