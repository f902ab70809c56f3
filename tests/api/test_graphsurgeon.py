"""onnx-graphsurgeon, with which users edit models before and after onnxq."""

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest

import onnxq
from tests.onnx_text import model

TEXT = """
small (float[1,3,8,8] x) => (float[1,4,8,8] y) <float[4,3,3,3] w> {
    [conv] a = Conv <pads = [1,1,1,1]> (x, w)
    [relu] y = Relu (a)
}
"""
SAMPLES = [np.random.default_rng(i).normal(size=(1, 3, 8, 8)).astype(np.float32) for i in range(8)]


def test_a_graph_is_a_model():
    """What is calibrated, planned and inserted is the graph's export; the graph stays as it is."""
    proto = model(TEXT)
    graph = gs.import_onnx(proto)
    nodes = len(graph.nodes)
    loaded = onnxq.load(graph)
    assert [n.name for n in loaded.graph.nodes] == ["conv", "relu"]
    statistics = onnxq.calibrate(loaded, SAMPLES)
    result = onnxq.insert(loaded, "trt-int8", statistics)
    assert sum(n.op_type == "DequantizeLinear" for n in result.proto.graph.node) == 2
    assert len(graph.nodes) == nodes
    assert statistics.model_path is None


@pytest.mark.parametrize("float_type", ["fp32", "fp16"])
def test_what_onnxq_writes_survives_an_edit(tmp_path, float_type):
    """A Q/DQ model is edited with graphsurgeon afterwards, and computes the same."""
    proto = model(TEXT)
    statistics = onnxq.calibrate(proto, SAMPLES, float_type=float_type)
    result = onnxq.insert(proto, "trt-int8", statistics, float_type=float_type)
    graph = gs.import_onnx(result.proto)
    graph.outputs[0].name = "renamed"
    graph.cleanup().toposort()
    edited = gs.export_onnx(graph)
    onnx.checker.check_model(edited, full_check=True)
    back = gs.import_onnx(edited)
    back.outputs[0].name = "y"
    reports = [
        onnxq.verify(proto, qdq, data=SAMPLES, backend="onnxruntime")
        for qdq in (result.proto, gs.export_onnx(back))
    ]
    before, after = (report.outputs["y"] for report in reports)
    assert before == after
    assert before.sqnr > 30


def test_scales_of_another_plan_are_refused():
    """Scales name tensors; those of a plan with other tensors do not fit."""
    proto = model(TEXT)
    statistics = onnxq.calibrate(proto, SAMPLES)
    plan = onnxq.plan(proto, "trt-int8")
    scales = onnxq.scales(proto, plan, statistics)
    other = onnxq.Recipe.from_dict(
        {
            "schema": 1,
            "descriptors": {"act": {"method": "max"}},
            "rules": [
                {"id": "r", "why": "test", "match": {"op": "Relu"}, "quantize": {"inputs": "act"}}
            ],
        }
    )
    observed = onnxq.calibrate(proto, SAMPLES, recipe=other)
    with pytest.raises(onnxq.OnnxqError) as caught:
        onnxq.insert(proto, other, observed, scales=scales)
    assert caught.value.diagnostics[0].code == "OQ419"
