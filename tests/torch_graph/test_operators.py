"""Each row of the table against onnxruntime, on the cases of onnx's own backend tests."""

import numpy as np
import onnx
import pytest
import torch

from onnxq.diagnostics import OnnxqError
from onnxq.model.graph import Graph
from onnxq.model.preparing import name_nodes
from onnxq.sessions import open_session, runtime_errors
from onnxq.torch_graph.operators import OPERATORS, lacking
from onnxq.torch_graph.parts import TorchGraph
from onnxq.torch_graph.types import TYPES
from tests.torch_graph.node_cases import cases_of, samples_of

SMALL = 10000  # values of an input at most, to compare derivatives with differences
# Results that are whole numbers, comparisons or places.
WITHOUT_GRADIENT = {
    *("And", "ArgMax", "Ceil", "ConstantOfShape", "Equal", "Floor", "Greater", "GreaterOrEqual"),
    "Cast",  # to another type than the one that differences are taken in
    *("Less", "LessOrEqual", "Not", "Or", "Range", "Round", "Shape", "Sign", "Size"),
}
# Inputs that are numbers of the operator, by its row; elsewhere all float inputs are data.
DATA = {
    "BatchNormalization": {"x", "s", "bias"},
    "Clip": {"x"},
    "Pad": {"x"},
    "Resize": {"X"},
}


def computed(case):
    """The graph of a case that its row computes, else None."""
    types = {
        i.type.tensor_type.elem_type for i in (*case.model.graph.input, *case.model.graph.output)
    }
    if not types <= TYPES.keys():
        return None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = Graph(name_nodes(model))
    return None if any(map(lacking, graph.nodes)) else TorchGraph(graph)


def onnxruntime_outputs(model, inputs):
    """What onnxruntime computes; None where it has no kernel for the types."""
    try:
        session = open_session(model, as_written=True)
        values = session.run(None, inputs)
    except (OnnxqError, *runtime_errors()):
        return None
    return dict(zip((o.name for o in session.get_outputs()), values, strict=True))


@pytest.mark.parametrize("op", sorted(OPERATORS))
def test_it_computes_what_onnxruntime_does(op):
    compared = 0
    for case in cases_of(op):
        graph = computed(case)
        if graph is None:
            continue
        outputs = [o for o in graph.graph.outputs if o]
        part = graph.part(graph.graph.inputs, outputs)
        for inputs, expected in samples_of(case):
            reference = onnxruntime_outputs(case.model, inputs)
            compared += 1
            feeds = {n: torch.from_numpy(np.array(a)) for n, a in inputs.items()}
            results = part(feeds)
            for name in outputs:
                value = results[name].numpy()
                wanted = (reference or expected)[name]
                assert value.dtype == wanted.dtype, (case.name, name)
                np.testing.assert_allclose(value, wanted, 1e-4, 1e-5, err_msg=case.name)
    assert compared


def data_of(op, feeds):
    return [n for n, f in feeds.items() if f.is_floating_point() and n in DATA.get(op, feeds)]


def differentiable(op, case):
    """The graph of a case and its first inputs, the data among them in float64 and moved a bit."""
    graph = computed(case)
    if graph is None:
        return None
    inputs, outputs = next(samples_of(case))
    arrays = [*inputs.values(), *outputs.values()]
    if any(a.size > SMALL or a.dtype == np.float16 for a in arrays):
        return None
    feeds = {n: torch.from_numpy(np.array(a)) for n, a in inputs.items()}
    data = data_of(op, feeds)
    rng = np.random.default_rng(0)  # off the places where a derivative jumps
    return graph, {
        n: f.double() + torch.tensor(rng.uniform(0.01, 0.02, f.shape) * (n in data))
        if f.is_floating_point()
        else f
        for n, f in feeds.items()
    }


@pytest.mark.parametrize("op", sorted(set(OPERATORS) - WITHOUT_GRADIENT))
def test_its_derivatives_are_those_of_differences(op):
    for case in cases_of(op):
        if (made := differentiable(op, case)) is None:
            continue
        graph, feeds = made
        names = data_of(op, feeds)
        part = graph.part(graph.graph.inputs, [o for o in graph.graph.outputs if o])

        def outputs(*values, names=names, feeds=feeds, part=part):
            results = part({**feeds, **dict(zip(names, values, strict=True))})
            return tuple(r for r in results.values() if r.is_floating_point())

        values = [feeds[name].requires_grad_() for name in names]
        if names and outputs(*values):
            assert torch.autograd.gradcheck(outputs, values, fast_mode=True), case.name
            return
    pytest.fail(f"no case of {op} can be differentiated")
