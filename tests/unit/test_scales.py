import numpy as np
import pytest
from onnx import numpy_helper

from onnxq.calibration.histogram import HistogramAccumulator, RangeAccumulator
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.diagnostics import OnnxqError
from onnxq.insertion.scales import compute_scales, odd
from onnxq.model.graph import Graph
from onnxq.model.preparing import name_nodes
from tests.onnx_text import model
from tests.planning import planned, rule

TEXT = """
g (float[1,4,8,8] x) => (float z) <float[4,4,1,1] w, float[4,8,1,1] v> {
    [first] a = Conv (x, w)
    [cat] b = Concat <axis = 1> (x, a)
    [second] z = Conv (b, v)
}
"""
CONVS = rule("{op: Conv}", id="convs", quantize="{inputs: act, weights: weight}")
CAT = rule("{op: Concat}", id="cat", share_scale="[inputs, outputs]")


def observed(histogram=True, **tensors):
    """Statistics of tensors with the given values."""
    by_tensor = {}
    for name, values in tensors.items():
        accumulator = HistogramAccumulator() if histogram else RangeAccumulator()
        accumulator.observe(np.asarray(values, np.float32))
        by_tensor[name] = TensorStatistics(values=accumulator.freeze(), samples=1)
    return Statistics(model_digest="d", calibrator="histogram", tensors=by_tensor)


def test_scales_of_float16_tensors_are_float16_and_never_zero(tmp_path):
    half = TEXT.replace("float[", "float16[").replace("float z", "float16 z")
    proto = name_nodes(model(half))
    values = np.full((4, 4, 1, 1), 2.0**-24, np.float16)  # the least that float16 has, of each
    values[1:] = 1000
    (index,) = (i for i, t in enumerate(proto.graph.initializer) if t.name == "w")
    proto.graph.initializer[index].CopyFrom(numpy_helper.from_array(values, "w"))
    graph = Graph(proto, digest="d")
    by_tensor, _ = scales(tmp_path, graph, observed(x=[1, -3], b=[60000]), CONVS)
    assert {scale.dtype for scale in by_tensor.values()} == {np.dtype(np.float16)}
    assert by_tensor["x"] == np.float16(3 / 127)
    assert by_tensor["w"].tolist() == [1, *[np.float16(1000 / 127)] * 3]
    values[0] = 2.0**-20
    proto.graph.initializer[index].CopyFrom(numpy_helper.from_array(values, "w"))
    graph = Graph(proto, digest="d")
    by_tensor, _ = scales(tmp_path, graph, observed(x=[1e-5], b=[1]), CONVS)
    assert by_tensor["w"][0] == np.float16(2.0**-24)
    assert by_tensor["x"] >= 1e-5 / 127  # rounded up where float16 has few bits: nothing is cut off


def with_weight(name, values):
    proto = name_nodes(model(TEXT))
    (index,) = (i for i, t in enumerate(proto.graph.initializer) if t.name == name)
    proto.graph.initializer[index].CopyFrom(numpy_helper.from_array(values, name))
    return Graph(proto, digest="d")


def scales(folder, graph, statistics, *rules):
    """Scales by tensor, and the codes of what was odd."""
    plan = planned(folder, graph, *rules)
    computed = compute_scales(graph, plan, statistics)
    by_tensor = {pair.tensor: computed[pair] for pair in plan.pairs}
    return by_tensor, [d.code for d in computed.diagnostics]


GRAPH = Graph(name_nodes(model(TEXT)), digest="d")


def test_scale_is_amax_over_127(tmp_path):
    by_tensor, odd = scales(tmp_path, GRAPH, observed(x=[1, -3], b=[2]), CONVS)
    assert by_tensor["x"] == np.float32(3) / np.float32(127)
    assert by_tensor["x"].shape == ()
    assert by_tensor["x"].dtype == np.float32
    w = GRAPH.array("w")
    np.testing.assert_array_equal(by_tensor["w"], np.abs(w).max(axis=(1, 2, 3)) / np.float32(127))
    assert odd == []


def test_a_zero_channel_has_scale_1(tmp_path):
    w = np.ones((4, 4, 1, 1), np.float32)
    w[2] = 0
    by_tensor, odd = scales(tmp_path, with_weight("w", w), observed(x=[1], b=[1]), CONVS)
    np.testing.assert_array_equal(by_tensor["w"], np.float32([1 / 127, 1 / 127, 1, 1 / 127]))
    assert odd == []


def test_a_zero_weight_is_told(tmp_path):
    graph = with_weight("w", np.zeros((4, 4, 1, 1), np.float32))
    by_tensor, odd = scales(tmp_path, graph, observed(x=[1], b=[1]), CONVS)
    assert (by_tensor["w"] == 1).all()
    assert odd == ["OQ414"]


def test_an_all_zero_activation_is_told(tmp_path):
    by_tensor, odd = scales(tmp_path, GRAPH, observed(x=[0, 0], b=[1]), CONVS)
    assert by_tensor["x"] == 1
    assert odd == ["OQ414"]


def test_nan_and_infinity_are_left_out_and_told(tmp_path):
    statistics = observed(x=[1, np.nan, 2], b=[np.inf, 5, -np.inf])
    by_tensor, odd = scales(tmp_path, GRAPH, statistics, CONVS)
    assert (by_tensor["x"], by_tensor["b"]) == (np.float32(2 / 127), np.float32(5 / 127))
    assert odd == ["OQ415", "OQ415"]


def test_nothing_but_nan(tmp_path):
    by_tensor, odd = scales(tmp_path, GRAPH, observed(x=[np.nan], b=[1]), CONVS)
    assert by_tensor["x"] == 1
    assert sorted(odd) == ["OQ415"]


def test_every_tensor_that_was_not_observed_is_told(tmp_path):
    with pytest.raises(OnnxqError) as caught:
        scales(tmp_path, GRAPH, observed(y=[1]), CONVS)
    diagnostics = caught.value.diagnostics
    assert [d.code for d in diagnostics] == ["OQ413", "OQ413"]
    assert "'x'" in diagnostics[0].message
    assert "'b'" in diagnostics[1].message


def test_a_method_without_its_histogram(tmp_path):
    entropy = rule("{op: Conv}", quantize="{inputs: other}")
    statistics = observed(histogram=False, x=[1], b=[1])
    with pytest.raises(OnnxqError) as caught:
        scales(tmp_path, GRAPH, statistics, entropy)
    assert caught.value.diagnostics[0].code == "OQ416"
    assert scales(tmp_path, GRAPH, statistics, CONVS)[1] == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite(tmp_path, value):
    w = np.ones((4, 4, 1, 1), np.float32)
    w[0, 1] = value
    with pytest.raises(OnnxqError) as caught:
        scales(tmp_path, with_weight("w", w), observed(x=[1], b=[1]), CONVS)
    assert [d.code for d in caught.value.diagnostics] == ["OQ417"]


def test_a_group_has_the_amax_of_its_largest_member(tmp_path):
    by_tensor, _ = scales(tmp_path, GRAPH, observed(x=[1], b=[7]), CONVS, CAT)
    assert by_tensor["x"] == by_tensor["b"] == np.float32(7 / 127)


def test_members_without_a_pair_do_not_count(tmp_path):
    by_tensor, _ = scales(tmp_path, GRAPH, observed(x=[1], b=[7], a=[99]), CONVS, CAT)
    assert by_tensor["x"] == np.float32(7 / 127)


def test_a_group_reads_its_method_from_the_merged_histogram(tmp_path):
    rng = np.random.default_rng(0)
    x, b = rng.normal(size=50_000), rng.normal(size=50_000) * 4
    quantize = rule("{op: Conv}", id="q", quantize="{inputs: other}")
    by_tensor, _ = scales(tmp_path, GRAPH, observed(x=x, b=b), quantize, CAT)
    expected = np.quantile(np.abs(np.concatenate([x, b])), 0.9999)
    assert by_tensor["x"] == by_tensor["b"]
    assert by_tensor["x"] * 127 == pytest.approx(expected, rel=0.01)
    apart, _ = scales(tmp_path, GRAPH, observed(x=x, b=b), quantize)
    assert apart["x"] < apart["b"] / 3


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_a_weight_of_zeros_is_no_fault_of_the_data(shape):
    (told,) = odd("w", np.zeros(shape, np.float32), None)
    assert told.code == "OQ414"
    assert "weights" in told.fix
    assert "data" not in told.fix
