import numpy as np
import onnx
import pytest

import onnxq
from onnxq.improvement.capture import captured

INNER = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[N, 2] x) => (float[N, 2] y) {
  a = Relu(x)
  unread = Exp(a)
  b = Neg(a)
  y = Add(b, b)
}
"""
WITH_BODY = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[2] x, bool c) => (float[2] y) {
  y = If(c) <
    then_branch = then () => (t) { t = Neg(x) },
    else_branch = other () => (e) { e = Relu(x) }
  >
}
"""


def test_inputs_inner_tensors_and_outputs_come_together():
    samples = [{"x": np.array([[1, -1]] * n, np.float32)} for n in (1, 3)]
    one, three = captured(onnx.parser.parse_model(INNER), ["x", "b", "y"], samples)
    np.testing.assert_array_equal(one["x"], [[1, -1]])
    np.testing.assert_array_equal(one["b"], [[-1, 0]])
    np.testing.assert_array_equal(one["y"], [[-2, 0]])
    assert three["b"].shape == (3, 2)


def test_inputs_alone_need_no_session():
    samples = [{"x": np.ones((1, 2), np.float32)}]
    (only,) = captured(onnx.parser.parse_model(INNER), ["x"], samples)
    np.testing.assert_array_equal(only["x"], [[1, 1]])


def test_tensors_of_a_branch_are_flat_and_empty_where_it_was_not_taken():
    sample = {"x": np.array([1, -1], np.float32), "c": np.array(True)}
    (values,) = captured(onnx.parser.parse_model(WITH_BODY), ["t", "e"], [sample])
    np.testing.assert_array_equal(values["t"], [-1, 1])
    assert values["e"].size == 0


def test_a_sample_that_does_not_fit_is_named():
    samples = [{"x": np.ones((1, 2), np.float32)}, {"x": np.ones((1, 3), np.float32)}]
    with pytest.raises(onnxq.OnnxqError, match="sample 2"):
        list(captured(onnx.parser.parse_model(INNER), ["b"], samples))
