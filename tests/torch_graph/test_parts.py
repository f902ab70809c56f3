"""Parts of a graph: what they read, what they lack, and whole models against onnxruntime."""

import numpy as np
import pytest
import torch

from onnxq.model.loading import load
from onnxq.sessions import open_session
from onnxq.torch_graph.parts import LackingError, TorchGraph
from tests.e2e.text_pages import text_page
from tests.onnx_text import graph

TWO_STEPS = """
g (float[1, 4] x) => (float[1, 4] y)
<float[4, 4] w> {
    [product] a = MatMul (x, w)
    [relu] b = Relu (a)
    [add] y = Add (b, x)
}
"""


def test_a_part_reads_the_tensors_that_it_is_given():
    torch_graph = TorchGraph(graph(TWO_STEPS))
    a, x = torch.tensor([[1.0, -1.0, 2.0, 0.0]]), torch.ones(1, 4)
    part = torch_graph.part(["a", "x"], ["y", "b"])
    results = part({"a": a, "x": x})
    assert [step.node.name for step in part.steps] == ["relu", "add"]
    assert list(results) == ["y", "b"]
    assert results["y"].tolist() == [[2.0, 1.0, 3.0, 1.0]]


def test_a_part_without_what_it_needs_names_it():
    with pytest.raises(KeyError, match="x"):
        TorchGraph(graph(TWO_STEPS)).part(["a"], ["y"])


def test_other_values_of_a_constant_are_differentiated():
    torch_graph = TorchGraph(graph(TWO_STEPS))
    weight = torch.eye(4, requires_grad=True)
    x = torch.tensor([[1.0, -1.0, 2.0, 3.0]])
    torch_graph.part(["x"], ["y"])({"x": x}, constants={"w": weight})["y"].sum().backward()
    column = torch.tensor([1.0, 0.0, 1.0, 1.0])  # the Relu stops the second
    torch.testing.assert_close(weight.grad, x.reshape(4, 1) * column)


def test_an_operator_without_a_row_is_named_before_anything_runs():
    text = """
    g (float[1, 4] x) => (float[1, 2] y) {
        [norm] a = LRN <size = 3> (x)
        [top] y, i = TopK <axis = 1> (x, k)
    }
    """.replace("(x, k)", "(a, k)").replace("{", "<int64[1] k = {2}> {", 1)
    with pytest.raises(LackingError, match="LRN 'norm', TopK 'top'") as caught:
        TorchGraph(graph(text)).part(["x"], ["y"])
    assert set(caught.value.nodes) == {"norm", "top"}


def test_a_part_behind_an_operator_without_a_row_is_computed():
    text = """
    g (float[1, 4, 2, 2] x) => (float[1, 4, 2, 2] y) {
        [norm] a = LRN <size = 3> (x)
        [relu] y = Relu (a)
    }
    """
    part = TorchGraph(graph(text)).part(["a"], ["y"])
    assert part({"a": -torch.ones(1, 4, 2, 2)})["y"].sum() == 0


def test_a_row_names_what_is_beyond_it():
    text = """
    g (float[1, 1, 4, 4] x) => (float[1, 1, 8, 8] y) <float[4] s = {1, 1, 2, 2}> {
        [up] y = Resize <mode = "cubic"> (x, "", s)
    }
    """
    with pytest.raises(LackingError, match="Resize with mode cubic 'up'"):
        TorchGraph(graph(text)).part(["x"], ["y"])


def inputs_of(name):
    rng = np.random.default_rng(0)
    if name == "ppocr_detector":  # noise drives it to values where float32 is not enough
        page = np.asarray(text_page(0, 16, side=160), np.float32)
        return {"x": (page / 127.5 - 1).transpose(2, 0, 1)[None]}
    tensor, side = {"mobilenet": ("input", 224), "yolox": ("images", 416)}[name]
    return {tensor: rng.normal(size=(1, 3, side, side)).astype(np.float32)}


@pytest.mark.parametrize("name", ["mobilenet", "yolox", "ppocr_detector"])
def test_a_trained_model_computes_what_onnxruntime_does(name, request):
    """MiniLM, the recognizer and the classifier are made of the same operators as these."""
    loaded = load(request.getfixturevalue(name))
    inputs = inputs_of(name)
    session = open_session(loaded.proto, as_written=True)
    part = TorchGraph(loaded.graph).part(loaded.graph.inputs, loaded.graph.outputs)
    with torch.no_grad():
        results = part({n: torch.from_numpy(a) for n, a in inputs.items()})
    for output, reference in zip(session.get_outputs(), session.run(None, inputs), strict=True):
        scale = np.abs(reference).max()
        np.testing.assert_allclose(
            results[output.name].numpy() / scale, reference / scale, atol=1e-4
        )


def test_values_are_let_go_of_once_they_were_read():
    """A part keeps its outputs alone: memory is that of the values between two nodes."""
    torch_graph = TorchGraph(graph(TWO_STEPS))
    part = torch_graph.part(["x"], ["y"])
    assert [step.done for step in part.steps] == [(), ("a",), ("x", "b")]
