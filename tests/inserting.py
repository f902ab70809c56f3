"""Short ways to a Q/DQ model, with scales from chosen ranges, and to what a model computes."""

import numpy as np
import onnxruntime

from onnxq.calibration.histogram import HistogramAccumulator
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.feeds.checks import Findings
from onnxq.feeds.samples import Sample
from onnxq.insertion.insert import insert
from onnxq.insertion.scales import compute_scales
from onnxq.model.graph import Graph
from onnxq.model.preparing import name_nodes
from tests.planning import planned, rule


class InMemory:
    """A feed of samples that are there already."""

    preprocess = None
    unreal = ""
    warnings = ()

    def __init__(self, *samples):
        self._samples = samples
        self.findings = Findings()

    def __iter__(self):
        return self.after(None)

    def after(self, done):
        for index, tensors in enumerate(self._samples):
            yield Sample(name=str(index), tensors=tensors, digest=f"{index:064x}", number=index)


MATRIX_OPS = "[Conv, ConvTranspose, Gemm, MatMul]"
ALL = rule(f"{{op: {MATRIX_OPS}}}", id="all", quantize="{inputs: act, weights: weight}")


def ranged(plan, amax=4.0):
    """Statistics in which every activation of a plan had the range -amax to amax."""
    accumulator = HistogramAccumulator()
    accumulator.observe(np.float32([-amax, amax]))
    seen = TensorStatistics(values=accumulator.freeze(), samples=1)
    tensors = {p.tensor: seen for p in plan.pairs if p.kind == "activation"}
    return Statistics(model_digest="d", calibrator="histogram", tensors=tensors)


def quantized(folder, model, *rules, amax=4.0, **options):
    """The Q/DQ model that rules make of a model."""
    graph = Graph(name_nodes(model), digest="d")
    plan = planned(folder, graph, *(rules or (ALL,)))
    return insert(model, plan, compute_scales(graph, plan, ranged(plan, amax)), **options)


def computed(model, **inputs):
    """The outputs of a model in onnxruntime, without optimizations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)
