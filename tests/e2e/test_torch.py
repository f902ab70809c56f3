"""Trained models as torch modules: each node against onnxruntime, and back into the same file."""

import numpy as np
import onnx
import pytest
import torch

import onnxq
import onnxq.torch
from onnxq.feeds import DataRequest
from onnxq.improvement.capture import captured
from onnxq.torch_graph.parts import TorchGraph
from tests.command import succeeded

from .conftest import onnxq as command
from .conftest import result

MODELS = {
    "yolox": ("quantized_yolox", "yolox"),
    "mobilenet": ("quantized_mobilenet", "imagenet"),
    "ppocr": ("quantized_ppocr", "ppocr"),
    "minilm": ("quantized_minilm", None),
}


@pytest.fixture(params=MODELS)
def subject(request):
    """The Q/DQ file of a model, and one sample."""
    name, preprocess = MODELS[request.param]
    folder = request.getfixturevalue(name).folder
    graph = onnxq.load(folder / "model.onnx").graph
    shapes = {"x": (1, 3, 640, 640)} if request.param == "ppocr" else {}
    source = DataRequest(
        source=folder / "others",
        shapes=shapes,
        preprocess=None if preprocess is None else onnxq.load_preprocess(preprocess),
        samples=1,
    )
    return folder / "model.qdq.onnx", next(iter(source.open(graph))).tensors


def test_every_node_computes_what_onnxruntime_does(subject):
    """From the tensors that onnxruntime computes, so that no rounding of a pair grows on the way.

    A value that stands next to a tie may be rounded to the other step: few of them, and one step.
    """
    path, sample = subject
    model = onnxq.load(path, existing="keep")
    graph, module = model.graph, onnxq.torch.load(path)
    own = {q.of.node for q in module.quantizers.values()} | set(module.passing)
    nodes = [
        n
        for n in graph.nodes
        if n.name not in own and not all(graph.is_constant(out) for out in n.outputs)
    ]
    pairs = [q for q in module.quantizers.values() if not q.of.stored]
    behind = {
        q.of.node: graph.by_name[graph.consumers(graph.by_name[q.of.node].outputs[0])[0].node]
        for q in pairs
    }
    wanted = {name for node in nodes for name in (*node.inputs, *node.outputs)}
    wanted |= {q.of.tensor for q in pairs} | {node.outputs[0] for node in behind.values()}
    wanted = [n for n in wanted if n and not graph.is_constant(n)]
    values = next(captured(model.proto, wanted, [sample]))
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in values.items()}
    torch_graph = TorchGraph(graph)
    with torch.no_grad():
        for node in nodes:
            feeds = {n: tensors[n] for n in node.inputs if n in tensors}
            outputs = [out for out in node.outputs if out in tensors]
            for name, value in torch_graph.part(feeds, outputs)(feeds).items():
                close(value, tensors[name], node.name)
        for quantizer in pairs:
            rounded = tensors[behind[quantizer.of.node].outputs[0]]
            steps = (quantizer(tensors[quantizer.of.tensor]) - rounded).abs() / quantizer.scale
            assert steps.max() < 1.01, quantizer.of.name
            assert (steps > 0.01).double().mean() < 1e-4, quantizer.of.name


def close(value, reference, name):
    if not value.is_floating_point():
        assert torch.equal(value, reference), name
        return
    assert (value - reference).abs().max() <= 2e-5 * reference.abs().max() + 1e-6, name


def test_it_is_written_back_bit_for_bit(subject, tmp_path):
    path, _ = subject
    out = onnxq.torch.save(onnxq.torch.load(path), path, tmp_path / "out.onnx")
    assert out.read_bytes() == path.read_bytes()


def test_the_compiler_makes_the_same_of_other_numbers(quantized_mobilenet, tmp_path):
    path = quantized_mobilenet.folder / "model.qdq.onnx"
    module = onnxq.torch.load(path)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1 + 0.01 * torch.rand(parameter.shape, generator=generator))
    out = onnxq.torch.save(module, path, tmp_path / "out.onnx")
    assert onnx.load(out).graph.node == onnx.load(path).graph.node
    assert not onnxq.lint(out).findings
    arguments = ("verify", "model.onnx", str(out), "--json")
    (report,) = result(succeeded(command(*arguments, cwd=path.parent)))["models"]
    before = quantized_mobilenet.verified["compiled"]["counts"]
    assert report["compiled"]["counts"] == before
