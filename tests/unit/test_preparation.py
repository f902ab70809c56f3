"""A model whose opset was raised is compared with what it was."""

import numpy as np
import onnx
import pytest

from onnxq.insertion.preparation import compare_raised
from onnxq.model.preparing import prepare
from tests.onnx_text import model

SOFTMAX = "g (float[2,{n},4] x) => (float y) {{ y = Softmax <axis = 1> (x) }}"


def raised(proto, change=lambda after: None, shapes=None):
    before = onnx.ModelProto.FromString(proto.SerializeToString())
    after = prepare(proto)
    change(after)
    return compare_raised(before, after, shapes or {})


def test_nothing_to_say_of_a_new_model():
    assert raised(model(SOFTMAX.format(n=3), opset=13)) is None


def test_a_conversion_that_keeps_the_outputs():
    outcome = raised(model(SOFTMAX.format(n=3), opset=11))
    assert (outcome.before, outcome.after, outcome.outputs) == (11, 13, "same")
    assert outcome.diagnostics == ()


def test_a_conversion_that_changes_an_output_by_a_bit():
    def change(after):
        (value,) = (t for t in after.graph.initializer if t.name == "b")
        values = onnx.numpy_helper.to_array(value)
        value.raw_data = np.nextafter(values, np.float32(9)).tobytes()

    text = "g (float[2,3] x) => (float y) <float[3] b = {1, 2, 3}> { y = Max (x, b) }"
    outcome = raised(model(text, opset=12), change)
    assert outcome.outputs == "changed"
    assert [d.code for d in outcome.diagnostics] == ["OQ535"]


@pytest.mark.parametrize(("shapes", "outputs"), [({}, "unchecked"), ({"x": (2, 5, 4)}, "same")])
def test_open_sizes(shapes, outputs):
    outcome = raised(model(SOFTMAX.format(n="N"), opset=11), shapes=shapes)
    assert outcome.outputs == outputs
    assert outcome.diagnostics == ()
    if outputs == "unchecked":
        assert "the size of input 'x' is not fixed" in str(outcome)
