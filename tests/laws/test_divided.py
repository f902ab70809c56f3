"""A float model whose activations were divided computes what it computed: on models at random."""

from functools import partial

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onnxq.calibration.statistics import Statistics
from onnxq.improvement.channels.division import divided
from onnxq.improvement.channels.sites import sites
from onnxq.improvement.channels.streams import stream
from onnxq.improvement.edits import Edits, edited
from onnxq.improvement.subject import Subject
from onnxq.insertion.scales import compute_scales
from onnxq.model.graph import Graph
from onnxq.model.loading import load
from tests.inserting import ALL, computed, ranged
from tests.planning import planned

from .float_models import INPUT, float_models

SETTINGS = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def subject_of(folder, proto):
    """A subject with a pair on every input of a product."""
    model = load(proto)
    plan = planned(folder, model.graph, ALL)
    scales = compute_scales(model.graph, plan, ranged(plan))
    return Subject(
        original=model,
        model=model.proto,
        plan=plan,
        plan_digest=plan.digest,
        statistics=Statistics(model_digest="d", calibrator="histogram", tensors={}),
        scales=scales,
        observe=lambda *_: None,
        edits=Edits(),
    )


def present(graph, constants, name):
    return constants[name] if name in constants else graph.array(name)


def same_outputs(before, after, seed):
    """True to 1e-5 of the largest value of each output."""
    x = np.random.default_rng(seed).normal(size=INPUT).astype(np.float32)
    for expected, got in zip(computed(before, x=x), computed(after, x=x), strict=True):
        largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * largest)


@SETTINGS
@given(proto=float_models(), seed=st.integers(0, 2**16))
def test_a_divided_model_computes_what_it_computed(tmp_path, proto, seed):
    subject = subject_of(tmp_path, proto)
    rng = np.random.default_rng(seed)
    edits = Edits()
    for site in sites(subject, {node.name for node in subject.graph.nodes}):
        weight = subject.graph.array(site.readers[0].weight)
        factors = np.exp(rng.normal(size=site.readers[0].channels(weight)) * 2)
        edits = edits.then(divided(subject.graph, site, factors, 0.5))
    result = edited(subject.model, edits)
    onnx.checker.check_model(result, full_check=True)
    assert len(Graph(result).nodes) == len(subject.graph.nodes) + len(edits.divisors)
    same_outputs(subject.model, result, seed)


@SETTINGS
@given(proto=float_models(), seed=st.integers(0, 2**16))
def test_factors_that_move_from_weights_to_weights_change_no_output(proto, seed):
    graph = (model := load(proto)).graph
    rng = np.random.default_rng(seed)
    tensors = [output for node in graph.nodes for output in node.outputs if output]
    streams = {frozenset(s.tensors): s for t in tensors if (s := stream(graph, t)) is not None}
    constants = {}
    for tied in streams.values():
        count = tied.readers[0].channels(graph.array(tied.readers[0].weight))
        factors = np.exp(rng.normal(size=count)).astype(np.float32)
        constants |= tied.divided(partial(present, graph, constants), factors)
    result = edited(model.proto, Edits(constants=constants))
    same_outputs(model.proto, result, seed)
