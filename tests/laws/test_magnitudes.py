"""Bounds hold on models drawn at random: no tensor exceeds its own."""

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings

from onnxq.model.graph import Graph
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.model.magnitudes import largest, magnitudes
from onnxq.model.preparing import prepare
from tests.inserting import computed

from .float_models import INPUT, float_models

X = np.random.default_rng(11).normal(size=INPUT).astype(np.float32)


@given(float_models())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_value_exceeds_the_bound_of_its_tensor(model):
    prepared = prepare(onnx.ModelProto.FromString(model.SerializeToString()))
    graph = Graph(prepared, digest="d")
    inner = [name for node in prepared.graph.node for name in node.output]
    opened = with_inner_outputs(prepared, inner)
    values = dict(zip((o.name for o in opened.graph.output), computed(opened, x=X), strict=True))
    bounds = magnitudes(graph, {"x": largest(X)})
    assert bounds.keys() >= {name for name, value in values.items() if value.dtype == np.float32}
    for name, value in values.items():
        assert largest(value) <= bounds[name] * (1 + 1e-5)
