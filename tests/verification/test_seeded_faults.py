"""A fault in the scores of a detector alone: the figure of the whole output hides it."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import onnxq
from onnxq.model.graph import Graph
from onnxq.model.makers import makers
from tests.compiled.yolo_like import SIDE, yolo


def with_class_branch(model, axis, factor):
    """The model with the amaxes of all pairs that only the scores depend on multiplied."""
    graph = Graph(model)
    (output,) = graph.outputs
    made = makers(graph, output, axis, graph.type(output).shape[axis])
    scores = ahead(graph, made[-1].nodes) - ahead(graph, made[0].nodes)
    scales = {
        graph.by_name[name].inputs[1]
        for name in scores
        if graph.by_name[name].op == "QuantizeLinear"
    }
    assert scales
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for tensor in changed.graph.initializer:
        if tensor.name in scales:
            scale = numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(numpy_helper.from_array(scale, tensor.name))
    return changed


def ahead(graph, names):
    """The names of all nodes that some nodes depend on, and their own."""
    reached, left = set(), list(names)
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left += [n.name for n in graph.predecessors[name]]
    return reached


@pytest.mark.parametrize("kind", ["v5", "v8", "11"])
def test_halved_amaxes_of_the_class_branch_fail_the_verdict(kind):
    model, rng = yolo(kind), np.random.default_rng(0)
    data = [rng.normal(size=(1, 3, SIDE, SIDE)).astype(np.float32) for _ in range(12)]
    healthy = onnxq.quantize(model, data[:6], "yolo", backend="onnxruntime").proto
    faulty = with_class_branch(healthy, 1, 0.5)
    options = {"data": data[6:], "backend": "onnxruntime", "min_sqnr": 60}
    assert onnxq.verify(model, healthy, **options).passed  # measured: 75 dB
    report = onnxq.verify(model, faulty, **options)  # measured: 47 dB
    (output,) = report.outputs.values()
    assert output.sqnr_db > 90  # of the boxes
    (missed,) = report.diagnostics
    assert (missed.code, missed.message.partition(" is ")[0]) == (
        "OQ604",
        "the SQNR of part 'y[:,4:]' of output 'y'",
    )
