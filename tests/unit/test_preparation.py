"""A model whose opset was raised is compared with what it was."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

import onnxq
from onnxq.diagnostics import OnnxqError
from onnxq.insertion.preparation import _nearly_equal, compare_raised
from onnxq.model.preparing import opset, prepare
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


@pytest.mark.parametrize(
    ("factor", "outputs", "codes"),
    [(1.0000001, "rounded", []), (1.001, "changed", ["OQ535"])],
    ids=["by a bit", "by more"],
)
def test_a_conversion_that_changes_an_output(factor, outputs, codes):
    def change(after):
        (value,) = (t for t in after.graph.initializer if t.name == "b")
        value.raw_data = (onnx.numpy_helper.to_array(value) * np.float32(factor)).tobytes()

    text = "g (float[2,3] x) => (float y) <float[3] b = {1, 2, 3}> { y = Max (x, b) }"
    outcome = raised(model(text, opset=12), change)
    assert outcome.outputs == outputs
    assert [d.code for d in outcome.diagnostics] == codes


@pytest.mark.parametrize(("shapes", "outputs"), [({}, "unchecked"), ({"x": (2, 5, 4)}, "same")])
def test_open_sizes(shapes, outputs):
    outcome = raised(model(SOFTMAX.format(n="N"), opset=11), shapes=shapes)
    assert outcome.outputs == outputs
    assert outcome.diagnostics == ()
    if outputs == "unchecked":
        assert "the size of input 'x' is not fixed" in str(outcome)


NEW = """g (float[2,3,8,8] x) => (float[2,4] y) <float[4,3,3,3] w, float[4,4] v> {
    a = Conv (x, w) c = Cast <to = 10> (a) d = Cast <to = 1> (c) e = Celu (d)
    p = GlobalAveragePool (e) f = Flatten (p) y = MatMul (f, v) }"""


@pytest.mark.parametrize("version", [26, 27, 28])
def test_an_opset_newer_than_tensorrt_takes_is_lowered(version):
    made = onnxq.load(model(NEW, opset=version))
    assert opset(made.proto) == 25
    assert made.proto.ir_version <= 13
    onnx.checker.check_model(made.proto, full_check=True)
    outcome = compare_raised(made.unprepared, made.proto, {})
    what = f"opset {version} lowered to 25, the newest that TensorRT takes: "
    if version > 26 and onnxruntime.__version__.startswith(("1.30.", "1.31.")):
        assert str(outcome).startswith(f"{what}not checked, because onnxruntime cannot load")
    else:
        assert str(outcome) == f"{what}outputs are the same"


def test_a_newer_opset_with_an_operator_of_its_own_is_refused():
    proto = parser.parse_model(
        '<ir_version: 13, opset_import: ["" : 26]> g (float[2,4] x, int64 a) => (float[2,4] y) {'
        " y = CumProd (x, a) }"
    )
    with pytest.raises(OnnxqError, match=r"OQ310.*opset 26, TensorRT takes up to 25"):
        onnxq.load(proto)


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (np.float32([1, 2]), np.float32([1, 2.00001]), True),
        (np.float32([1, 2]), np.float32([1, 2.001]), False),
        (np.float32([1, np.inf]), np.float32([1.000001, np.inf]), True),
        (np.float32([1, np.inf]), np.float32([1, 2]), False),
        (np.float32([1, np.nan]), np.float32([1, np.nan]), True),
        (np.float16([1, 2]), np.float16([1, 2.002]), True),
        (np.int64([1, 2]), np.int64([1, 3]), False),
        ([np.float32([1]), np.float32([2])], [np.float32([1])], False),
    ],
)
def test_differences_in_the_last_bits_are_no_change(before, after, outcome):
    assert _nearly_equal(before, after) is outcome
