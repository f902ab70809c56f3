"""docs/tutorials/from-modelopt.md runs: the side of onnxq, ModelOpt is not installed here."""

import numpy as np
import onnx

from tests.docs.models import MODEL, named_as_exported
from tests.docs.pages import run_page

PAGE = "docs/tutorials/from-modelopt.md"


def test_the_page_runs(tmp_path):
    onnx.save(named_as_exported(MODEL), tmp_path / "model.onnx")
    rng = np.random.default_rng(0)
    for name, count in (("calib", 8), ("others", 4)):
        np.save(tmp_path / f"{name}.npy", rng.random((count, 3, 32, 32), np.float32))
    outcomes = dict(run_page(PAGE, tmp_path))
    explained = outcomes["onnxq explain model.onnx /model.0/conv/Conv --rules mine.yaml"].stdout
    assert "excluded" in explained
    graph = onnx.load(tmp_path / "model.qdq.onnx").graph
    assert [n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"] == [
        "/model.0/act/Relu_output_0"
    ]
    half = onnx.TensorProto.FLOAT16
    (stem,) = (c for c in graph.initializer if c.name == "w")
    assert stem.data_type == half
