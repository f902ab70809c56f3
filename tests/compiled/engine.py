"""A float model and a recipe taken to a TensorRT-RTX engine, and the types that it computes in."""

import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx import helper

from onnxq import shipped
from onnxq.calibration.calibrate import calibrate, observed_tensors
from onnxq.insertion.insert import insert
from onnxq.insertion.scales import compute_scales
from onnxq.kernels.layers import LayerList, parse_layers
from onnxq.model.graph import Graph
from onnxq.model.ops import traits
from onnxq.model.preparing import prepare
from onnxq.planning.cascade import plan
from onnxq.planning.plan import Plan
from onnxq.planning.recipe import load
from tests.inserting import InMemory


@dataclass(frozen=True)
class Compiled:
    """The engine's layers beside the float model and the plan."""

    graph: Graph
    plan: Plan
    qdq: onnx.ModelProto
    layers: LayerList

    def of(self, tensor):
        """How the op that makes a tensor, or for an input its pair, is computed.

        'int8' or 'float' for a matrix product, else what its layers read and write, such as
        'Float+Int8>Int8', and '-' for an op that has no layer of its own.
        """
        node = self.graph.producer(tensor)
        if node and (traits(node).weighted or node.op == "Einsum"):
            return self.layers.precision(node.name)
        return self._types(node.name if node else f"{tensor}_QuantizeLinear")

    def _types(self, name):
        layers = [layer for layer in self.layers.layers if name in layer.nodes]
        sides = ([t for layer in layers for t in getattr(layer, s)] for s in ("inputs", "outputs"))
        return ">".join("+".join(sorted(t.dtype for t in side)) for side in sides).strip(">") or "-"

    def named(self, name):
        """How the op of a name is computed."""
        return self.of(self.graph.by_name[name].outputs[0])

    @property
    def products(self):
        """How every weighted op is computed, by name."""
        nodes = [n for n in self.graph.nodes if traits(n).weighted]
        return {node.name: self.layers.precision(node.name) for node in nodes}

    @property
    def stored_in_float(self):
        """Ops whose result is stored in float between layers, beside those of matrix products."""
        inner = {t.name for layer in self.layers.layers for t in layer.inputs}
        layers = [
            layer
            for layer in self.layers.layers
            if layer.kind not in ("correlation", "gemm", "deconv")
            and any(t.dtype == "Float" and t.name in inner for t in layer.outputs)
        ]
        return {name for layer in layers for name in layer.nodes if name in self.graph.by_name}

    def pairs_at(self, name):
        """The tensors that have a pair at the inputs of an op."""
        return {p.tensor for p in self.plan.pairs for edge in p.edges if edge.node == name}


def _random_feed(graph):
    """Eight samples from N(0, 1), the same every time."""
    rng = np.random.default_rng(0)
    return InMemory(*({n: _random(rng, graph.type(n)) for n in graph.inputs} for _ in range(8)))


def _random(rng, kind):
    dtype = helper.tensor_dtype_to_np_dtype(kind.dtype)
    if dtype.kind == "i":
        return rng.integers(0, 50, kind.shape, dtype)
    return rng.normal(size=kind.shape).astype(dtype)


def quantized(model, recipe, **options):
    """Plan and Q/DQ model of a float model; the recipe is a shipped one's name or YAML."""
    model = prepare(model)
    graph = Graph(model, digest="d")
    made = plan(graph, _recipe(recipe))
    feed, tensors = _random_feed(graph), observed_tensors(graph, made)
    statistics = calibrate(model, graph, feed, tensors=tensors)
    return graph, made, insert(model, made, compute_scales(graph, made, statistics), **options)


def without(name, *rules):
    """A shipped recipe as YAML, less some of its rules."""
    recipe = yaml.safe_load(shipped.recipes()[name].read_text())
    kept = [rule for rule in recipe["rules"] if rule["id"] not in rules]
    assert len(kept) + len(rules) == len(recipe["rules"])
    return yaml.safe_dump({**recipe, "rules": kept})


def without_skips(name):
    """A shipped recipe without pairs on what goes round a block of convolutions."""
    rule = "{id: less, why: test, match: {residual: identity}, skip: [skip]}"
    return f"schema: 1\nextends: {name}\nrules:\n- {rule}\n"


def _recipe(recipe):
    if "\n" not in recipe:
        return load(recipe)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(recipe)
        return load(path)


def compiled(model, recipe, **options):
    """The engine of a float model quantized by a recipe; `options` are those of `insert`."""
    graph, made, qdq = quantized(model, recipe, **options)
    return Compiled(graph=graph, plan=made, qdq=qdq, layers=layers_of(qdq))


def layers_of(model):
    """The layers that TensorRT-RTX builds of a Q/DQ model; an error where it rejects the model."""
    text = _builder().submit(_layers_of, model.SerializeToString()).result()
    layers = parse_layers(text)
    assert layers.layers, text[:200]
    assert not layers.unreadable
    return layers


@cache
def _builder():
    """One process that builds every engine: starting one for each takes longer than building."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_use_rtx)


def _use_rtx():
    os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1"


def _layers_of(model):
    import tensorrt_rtx

    from onnxq.compiler import build, worker

    messages = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model)
        job = {"model": str(path), "profiles": {}, "targets": []}
        worker.listen(tensorrt_rtx, messages)
        build.build(job, tensorrt_rtx)
    return messages[-1]


def imported_by_the_parser(ops):
    """Those of some ops that the ONNX parser of TensorRT-RTX knows."""
    return _builder().submit(_imported, ops).result()


def _imported(ops):
    import tensorrt_rtx as trt

    from onnxq.compiler import plugins

    missing = plugins.unknown(trt, trt.Logger(trt.Logger.ERROR), ops)
    return [op for op in ops if op not in missing]
