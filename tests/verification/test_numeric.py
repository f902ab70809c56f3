import math
import tracemalloc

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from onnxq.diagnostics import OnnxqError
from onnxq.verification import compare
from onnxq.verification.numeric.runners import infer, runner

from .models import Builder, fed, float_conv, quantized_conv, saved

SHAPE = (1, 4, 8, 8)


def samples(count, shape=SHAPE, seed=1):
    rng = np.random.default_rng(seed)
    return list(fed(rng.normal(size=shape) for _ in range(count)))


def model_of(make, *, shape=("n",), dtype=TensorProto.FLOAT):
    """A model whose output `y` is what `make` builds from `x`."""
    build = Builder()
    made = make(build)
    build.nodes.append(helper.make_node("Identity", [made], ["y"], name="last"))
    return build.model("y", shape=shape, dtype=dtype)


def plus(value):
    return model_of(lambda b: b.op("Add", "x", b.constant(np.float32(value))))


def times(value, dtype=TensorProto.FLOAT):
    return model_of(
        lambda b: b.op("Cast", b.op("Mul", "x", b.constant(np.float32(value))), to=dtype),
        dtype=dtype,
    )


def only(report):
    (output,) = report.outputs
    return output


def feed(*arrays):
    return list(fed(arrays))


def code(caught):
    return caught.value.diagnostics[0].code


def test_figures_against_numpy():
    rng = np.random.default_rng(0)
    data = [{"x": rng.normal(size=7).astype(np.float32)} for _ in range(5)]
    report = compare(plus(0.0), plus(0.25), fed(data))
    reference = np.concatenate([d["x"] for d in data]).astype(np.float64)
    test = np.concatenate([d["x"] + np.float32(0.25) for d in data]).astype(np.float64)
    noise = reference - test
    decibels = [
        10 * np.log10(np.sum(r**2) / np.sum(n**2))
        for r, n in zip(np.split(reference, 5), np.split(noise, 5), strict=True)
    ]
    out = only(report)
    assert (report.samples, out.name, out.dtype, out.values) == (5, "y", "float32", 35)
    assert out.sqnr_db == pytest.approx(10 * np.log10(np.sum(reference**2) / np.sum(noise**2)))
    assert out.worst_sqnr_db == pytest.approx(min(decibels))
    assert out.worst_sample == f"sample {np.argmin(decibels)}"
    norms = np.linalg.norm(reference) * np.linalg.norm(test)
    assert out.cosine == pytest.approx(reference @ test / norms)
    cosines = [
        r @ t / np.linalg.norm(r) / np.linalg.norm(t)
        for r, t in zip(np.split(reference, 5), np.split(test, 5), strict=True)
    ]
    assert out.worst_cosine == pytest.approx(min(cosines))
    assert out.worst_cosine_sample == f"sample {np.argmin(cosines)}"
    assert out.max_abs_error == pytest.approx(np.abs(noise).max())
    assert out.mean_abs_error == pytest.approx(np.abs(noise).mean())
    assert report.sqnr_db == out.sqnr_db
    assert out.problem == ""


def test_equal_outputs():
    out = only(compare(plus(1), plus(1), feed([1, 2], [3, 4])))
    assert (out.sqnr_db, out.worst_sqnr_db, out.cosine) == (math.inf, math.inf, pytest.approx(1))
    assert (out.max_abs_error, out.mean_abs_error, out.equal) == (0, 0, 1)


def test_a_reference_of_zeros():
    out = only(compare(times(0), plus(0), feed([1, 2])))
    assert (out.sqnr_db, out.cosine, out.max_abs_error) == (-math.inf, 0, 2)
    both = only(compare(times(0), times(0), feed([1, 2])))
    assert (both.sqnr_db, both.cosine) == (math.inf, 1)


def test_nan_in_one_model_gives_no_figures():
    report = compare(plus(0), model_of(lambda b: b.op("Sqrt", "x")), feed([1, 4], [1, -1]))
    out = only(report)
    assert (out.sqnr_db, out.cosine, out.max_abs_error) == (None, None, None)
    assert out.problem == (
        "NaN or infinite values in the Q/DQ model only, in 1 sample, first in 'sample 1'"
    )
    assert report.sqnr_db is None


def test_nan_in_the_float_model_is_told():
    out = only(compare(model_of(lambda b: b.op("Sqrt", "x")), plus(0), feed([-1, 1])))
    assert out.problem.startswith("NaN or infinite values in the float model only")


def test_what_is_infinite_in_both_is_equal():
    with_infinity = model_of(lambda b: b.op("Div", "x", b.constant(np.float32([1, 0]))))
    out = only(compare(with_infinity, with_infinity, feed([3, 1], [3, 0])))
    assert (out.sqnr_db, out.equal, out.problem) == (math.inf, 1, "")


@pytest.mark.parametrize("dtype", [TensorProto.INT64, TensorProto.BOOL, TensorProto.UINT8])
def test_integers_are_compared_but_have_no_sqnr(dtype):
    report = compare(times(1, dtype), times(0, dtype), feed([0, 0, 1, 1]))
    out = only(report)
    assert (out.sqnr_db, out.worst_sqnr_db, out.worst_sample) == (None, None, None)
    assert (out.equal, out.max_abs_error, out.problem) == (0.5, 1, "")
    assert not out.is_float
    assert report.sqnr_db is None


def test_an_integer_output_does_not_hide_the_float_one():
    def model(value):
        build = Builder()
        total = build.op("Add", "x", build.constant(np.float32(value)), name="total")
        best = build.op("ArgMax", "x", name="best")
        made = build.model(total, best, shape=("n",))
        made.graph.output[1].type.tensor_type.elem_type = TensorProto.INT64
        return made

    report = compare(model(0), model(0.1), feed([1, 2]))
    assert [o.dtype for o in report.outputs] == ["float32", "int64"]
    assert report.sqnr_db == report.outputs[0].sqnr_db is not None


def test_outputs_of_other_shapes_are_left_out_and_told():
    def positive(threshold):
        return model_of(
            lambda b: b.op("Compress", "x", b.op("Greater", "x", b.constant(np.float32(threshold))))
        )

    out = only(compare(positive(0), positive(1.5), feed([1, 2, 3], [2, 3, 4], [1, 1, 2])))
    assert (out.values, out.sqnr_db) == (3, math.inf)
    assert out.problem == (
        "shapes differ, [3] against [2], in 1 sample, first in 'sample 0'; "
        "shapes differ, [3] against [1], in 1 sample, first in 'sample 2'"
    )


def test_an_output_without_values():
    out = only(compare(plus(0), plus(0), feed([])))
    assert (out.values, out.sqnr_db, out.problem) == (0, None, "it has no values")


def test_an_output_that_is_not_a_tensor():
    build = Builder()
    build.nodes.append(helper.make_node("SequenceConstruct", ["x"], ["y"], name="sequence"))
    model = build.model("y", shape=("n",))
    inner = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n"])
    model.graph.output[0].type.CopyFrom(helper.make_sequence_type_proto(inner))
    out = only(compare(model, model, feed([1])))
    assert (out.dtype, out.sqnr_db) == ("list", None)
    assert out.problem.startswith("not a tensor of numbers (list)")


def test_the_figure_is_of_the_files_arithmetic():
    """onnx's reference evaluator agrees; onnxruntime's fused integer kernels do not.

    The scales are powers of two, so that every sum is exact and its order does not matter. The bias
    has no place on the int32 grid of the fused kernels.
    """
    build = Builder()
    bias = build.constant(np.arange(-4, 4, dtype=np.float32) * np.float32(2**-13) + 2**-14)
    weights = (build.pair(build.weight(8, n, 3, 3), np.full(8, 1 / 32), axis=0) for n in (4, 8))
    first = build.op("Conv", build.pair("x", 1 / 16), next(weights), bias, name="first")
    second = build.op("Conv", build.pair(first, 1 / 4), next(weights), name="second")
    out = build.pair(second, 1 / 2)
    model, data = build.model(out, first, opset=19), samples(4)
    expected = [ReferenceEvaluator(model).run(None, d.tensors) for d in data]
    with runner(model, "a model") as running:
        found = [list(infer(running, d.tensors).values()) for d in data]
    fused = [
        onnxruntime.InferenceSession(model.SerializeToString()).run(None, d.tensors) for d in data
    ]
    for output in range(2):
        wanted = [e[output] for e in expected]
        np.testing.assert_array_equal([f[output] for f in found], wanted)
    assert any((f[1] != e[1]).any() for f, e in zip(fused, expected, strict=True))


def test_paths_and_models_give_the_same(tmp_path):
    models = float_conv(), quantized_conv()
    paths = [saved(m, tmp_path, f"{i}.onnx") for i, m in enumerate(models)]
    data = samples(3)
    assert compare(*models, data) == compare(*paths, data) == compare(*map(str, paths), data)


def test_progress_counts_samples():
    seen = []
    compare(plus(0), plus(0), feed([1], [2], [3]), progress=seen.append)
    assert seen == [1, 2, 3]


def test_memory_does_not_grow_with_samples():
    size = 1 << 16

    def peak(count):
        tracemalloc.start()
        compare(plus(0), plus(1), fed(np.ones(size) for _ in range(count)))
        return tracemalloc.get_traced_memory()[1], tracemalloc.stop()

    compare(plus(0), plus(1), feed([1]))  # imports
    assert peak(30)[0] < peak(3)[0] + 4 * size


def test_nothing_is_printed(capfd):
    compare(plus(0), plus(0), feed([1]))
    with pytest.raises(OnnxqError):
        compare(plus(0), plus(0), feed(np.zeros((1, 2, 3))))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "sample",
    [
        {"x": np.zeros((1, 2), np.float32)},
        {"x": np.zeros(2, np.float64)},
        {"z": np.zeros(2, np.float32)},
        {},
        {"x": np.zeros(2, np.float32), "z": np.zeros(2, np.float32)},
    ],
)
def test_a_sample_that_does_not_fit(sample):
    with pytest.raises(OnnxqError) as caught:
        compare(plus(0), plus(0), fed([sample]))
    assert code(caught) == "OQ404"


def test_no_samples():
    with pytest.raises(OnnxqError) as caught:
        compare(plus(0), plus(0), iter(()))
    assert code(caught) == "OQ401"


def test_models_of_other_ports():
    other = plus(0)
    other.graph.node[-1].output[0] = other.graph.output[0].name = "z"
    with pytest.raises(OnnxqError, match="only the float model has \\['y'\\], only the Q/DQ"):
        compare(plus(0), other, feed([1]))
    other = plus(0)
    other.graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [1]))
    with pytest.raises(OnnxqError) as caught:
        compare(plus(0), other, feed([1]))
    assert code(caught) == "OQ603"


def test_a_model_that_onnxruntime_refuses():
    broken = plus(0)
    broken.graph.node[0].op_type = "NoSuchOp"
    with pytest.raises(OnnxqError, match="cannot load the Q/DQ model") as caught:
        compare(plus(0), broken, feed([1]))
    assert code(caught) == "OQ305"
