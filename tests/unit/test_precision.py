"""What half precision can hold: scales, ranges of activations and constants, and who decides."""

from dataclasses import replace

import numpy as np
import pytest
from onnx import numpy_helper

from onnxq.calibration.histogram import RangeAccumulator
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.insertion.precision import HALF, fp32_ops, representable_scales
from onnxq.insertion.scales import compute_scales
from onnxq.model.graph import Graph
from onnxq.model.preparing import name_nodes
from onnxq.planning.plan import Because, Kept
from onnxq.quantization import representable
from tests.inserting import ALL, ranged
from tests.onnx_text import graph, model
from tests.planning import planned, rule

FP16, BF16 = HALF["fp16"], HALF["bf16"]
CHAIN = graph(
    "g (float[1,4,8,8] x) => (float[1,4,8,8] y) <float[4,4,1,1] w, float[1] c = {1}> "
    "{ [one] a = Conv(x, w) [two] b = Add(a, c) [three] y = Relu(b) }"
)


def constant(value):
    return graph(
        f"g (float[2] x) => (float[2] y) <float[2] c = {{0, {value}}}> "
        "{ [one] a = Add(x, c) [two] y = Relu(a) }"
    )


def observed(**amaxes):
    tensors = {}
    for name, amax in amaxes.items():
        accumulator = RangeAccumulator()
        accumulator.observe(np.float32([0, -amax]))
        tensors[name] = TensorStatistics(values=accumulator.freeze(), samples=1)
    return Statistics(model_digest="d", calibrator="max", tensors=tensors)


def fp32_of(folder, view, statistics, *rules, half=FP16):
    return fp32_ops(view, planned(folder, view, *(rules or (ALL,))), statistics, half)


def codes(fp32):
    return [d.code for d in fp32.diagnostics]


def test_the_ranges_of_the_types():
    assert (FP16.largest, FP16.normal, FP16.least) == (65504, 2**-14, 2**-24)
    assert BF16.largest > 3.3e38
    assert BF16.normal == pytest.approx(np.finfo(np.float32).tiny)


def test_the_nearest_scale_and_above_the_normal_range_the_next():
    scale = np.float32([0.1, 1, 2**-14, 1.00001 * 2**-20, 2**-24, 1e-12, 1e6])
    found = representable(scale, FP16.dtype)
    nearest = np.float32(np.float16(0.1))
    assert found.tolist() == [nearest, 1, 2**-14, 17 * 2**-24, 2**-24, 2**-24, 65504]
    assert (representable(scale[3:6], FP16.dtype) >= scale[3:6]).all()


@pytest.mark.parametrize("half", HALF.values(), ids=HALF)
def test_what_is_representable_stays(half):
    scale = np.float32(10) ** np.arange(-12, 5, dtype=np.float32)
    once = representable(scale, half.dtype)
    np.testing.assert_array_equal(representable(once, half.dtype), once)
    np.testing.assert_array_equal(once.astype(half.dtype).astype(np.float32), once)


def test_nothing_is_kept_without_a_reason(tmp_path):
    fp32 = fp32_of(tmp_path, CHAIN, observed(x=3, a=4, b=60000))
    assert (fp32.reasons, fp32.diagnostics) == ({}, ())


@pytest.mark.parametrize(("amax", "code"), [(65505, "OQ510"), (1e-5, "OQ511")])
def test_an_activation_out_of_range_keeps_who_makes_and_who_reads_it(tmp_path, amax, code):
    fp32 = fp32_of(tmp_path, CHAIN, observed(x=3, a=amax, b=3))
    assert fp32.reasons == {"one": "out of range: a", "two": "out of range: a"}
    assert codes(fp32) == [code]
    assert "'a'" in fp32.diagnostics[0].message


def test_zero_is_in_range(tmp_path):
    assert fp32_of(tmp_path, CHAIN, observed(x=0, a=0)).reasons == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("3.4e38", ["OQ510"]), ("-70000", ["OQ510"]), ("1e-12", ["OQ511"]), ("65504", []),
     ("7e-5", []), ("0", [])],
)  # fmt: skip
def test_a_constant_out_of_range_keeps_who_reads_it(tmp_path, value, expected):
    view = constant(value)
    fp32 = fp32_of(tmp_path, view, observed(), rule("{op: Relu}", skip="all"))
    assert codes(fp32) == expected
    assert fp32.reasons == ({"one": "out of range: c"} if expected else {})


def test_infinity_is_in_range(tmp_path):
    proto = model("g (float[2] x) => (float[2] y) <float[2] c> { [one] y = Add(x, c) }")
    lowest = numpy_helper.from_array(np.float32([-np.inf, np.inf]), "c")
    proto.graph.initializer[0].CopyFrom(lowest)
    fp32 = fp32_of(tmp_path, Graph(name_nodes(proto)), observed(), rule("{op: Relu}", skip="all"))
    assert fp32.reasons == {}


def test_bfloat16_reaches_what_float32_does(tmp_path):
    fp32 = fp32_of(tmp_path, CHAIN, observed(x=1e30, a=1e-30), half=BF16)
    assert (fp32.reasons, fp32.diagnostics) == ({}, ())


def test_tensorrt_has_no_transposed_conv_in_bfloat16(tmp_path):
    view = graph(
        "g (float[1,4,8,8] x) => (float[1,4,8,8] y) <float[4,4,1,1] w> "
        "{ [up] y = ConvTranspose(x, w) }"
    )
    assert fp32_of(tmp_path, view, observed()).reasons == {}
    assert fp32_of(tmp_path, view, observed(), half=BF16).reasons == {
        "up": "TensorRT has no ConvTranspose in bf16"
    }


def test_the_rules_have_the_last_word(tmp_path):
    keep = rule("{name: [two, three]}", keep_fp32="true")
    fp32 = fp32_of(tmp_path, CHAIN, observed(a=1e6, b=3), ALL, keep)
    assert fp32.reasons == {"one": "out of range: a", "two": "r", "three": "r"}
    assert "'one' stays" in fp32.diagnostics[0].message
    back = rule("{name: [one, two]}", id="back", keep_fp32="false")
    fp32 = fp32_of(tmp_path, CHAIN, observed(a=1e6, b=3), ALL, keep, back)
    assert (fp32.reasons, fp32.diagnostics) == ({"three": "r"}, ())


def test_many_tensors_give_one_line(tmp_path):
    (diagnostic,) = fp32_of(tmp_path, CHAIN, observed(x=1e6, a=1e6, b=1e6)).diagnostics
    assert "and 2 other tensors too; 'one' and 2 more stay in fp32" in diagnostic.message


def test_only_scales_below_the_normal_range_are_moved(tmp_path):
    plan = planned(tmp_path, CHAIN, ALL)
    scales = compute_scales(CHAIN, plan, ranged(plan))
    activation, weight = plan.pairs
    small = np.float32([0.1, 1e-9, 1e-6, 0.2])
    scales = replace(scales, by_pair={activation: scales[activation], weight: small})
    found = representable_scales(scales, CHAIN, fp32_of(tmp_path, CHAIN, observed()), FP16)
    assert found[activation] == scales[activation]
    assert found[weight].tolist() == [small[0], 2**-24, 17 * 2**-24, small[3]]
    because = Because(rule="r", why="", span=plan.decisions[0].because.span, node="one")
    kept = replace(plan, kept=(Kept(node="one", choice="fp32", because=because, overrides=()),))
    exact = representable_scales(scales, CHAIN, fp32_ops(CHAIN, kept, observed(), FP16), FP16)
    np.testing.assert_array_equal(exact[weight], small)


# MatMul and what follows; only x is observed.
SCALED = graph(
    "g (float[2,2] x) => (float[2,2] y) <float[2,2] w = {1, 0, 0, 1}, float[1] up = {30000},"
    " float[1] down = {0.001}> { [one] a = MatMul(x, w) [two] b = Mul(a, up) [three] c = Relu(b)"
    " [four] y = Mul(c, down) }"
)


def test_an_activation_that_may_overflow_is_named(tmp_path):
    fp32 = fp32_of(tmp_path, SCALED, observed(x=4))
    assert fp32.reasons == {}
    (diagnostic,) = fp32.diagnostics
    assert diagnostic.code == "OQ514"
    assert diagnostic.message == (
        "the calibration does not have the range of 'b', which may exceed the 6.55e+04 of fp16, "
        "nor that of 1 other tensor; 'two' and 2 more compute in fp16"
    )
    assert "--float fp16" in diagnostic.fix


def test_an_activation_that_the_weights_bound_is_no_reason(tmp_path):
    assert codes(fp32_of(tmp_path, SCALED, observed(x=2))) == []


def test_a_range_settles_what_the_weights_do_not(tmp_path):
    assert codes(fp32_of(tmp_path, SCALED, observed(x=4, b=60000))) == []
    fp32 = fp32_of(tmp_path, SCALED, observed(x=4, b=70000, c=6))
    assert fp32.reasons == dict.fromkeys(("two", "three"), "out of range: b")
    assert codes(fp32) == ["OQ510"]


def test_a_range_of_some_samples_is_not_enough(tmp_path):
    some = replace(observed(x=4, b=60000, c=60000), samples=2)
    some = replace(some, tensors={**some.tensors, "x": replace(some.tensors["x"], samples=2)})
    assert codes(fp32_of(tmp_path, SCALED, some)) == ["OQ514"]


@pytest.mark.parametrize("keep", ["true", "false"])
def test_a_rule_settles_it_too(tmp_path, keep):
    decided = rule("{name: [two, three, four]}", keep_fp32=keep)
    fp32 = fp32_of(tmp_path, SCALED, observed(x=4), ALL, decided)
    assert fp32.diagnostics == ()
    assert set(fp32.reasons) == ({"two", "three", "four"} if keep == "true" else set())


def test_an_op_that_only_fp32_ops_surround_is_not_told(tmp_path):
    decided = rule("{name: [two, three]}", keep_fp32="true")
    fp32 = fp32_of(tmp_path, SCALED, observed(x=4), ALL, decided)
    assert "'b'" not in "".join(d.message for d in fp32.diagnostics)
    assert codes(fp32) == ["OQ514"]  # of c, which 'four' reads


def test_without_a_calibration_another_code_tells(tmp_path):
    assert codes(fp32_of(tmp_path, SCALED, observed())) == []


def test_a_bound_below_the_normal_range_keeps_the_ops(tmp_path):
    fp32 = fp32_of(tmp_path, SCALED, observed(x=1e-10))
    assert fp32.reasons["one"] == "out of range: a"
    assert "OQ511" in codes(fp32)


def test_bfloat16_has_no_doubts(tmp_path):
    assert codes(fp32_of(tmp_path, SCALED, observed(x=1e30), half=BF16)) == []
