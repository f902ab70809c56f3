"""`--float fp16` and `bf16` on trained models: what is INT8 stays so, the rest is half."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from onnxq.model.preparing import raised
from tests.cli.forked import onnxq
from tests.command import result, succeeded
from tests.inserting import computed
from tests.onnx_text import model as onnx_model

RULES = {
    "yolox": ["--rules", "yolo.yaml"],
    "mobilenet": [],
    "ppocr": [],
    "minilm": ["--rules", "transformer"],
}
SHAPES = {"ppocr": ["--shape", "x:1x3x640x640"]}
INPUTS = {
    "yolox": {"images": (1, 3, 416, 416)},
    "mobilenet": {"input": (1, 3, 224, 224)},
    "ppocr": {"x": (1, 3, 320, 320)},
    "minilm": {"ids": (1, 128), "mask": (1, 128)},
}
# What stays in FP32, by reason.
KEPT = {
    "yolox": {},
    "mobilenet": {},
    "ppocr": {"out of range: batch_norm_0.w_2": 1},
    "minilm": {
        "fp32-layer-norm": 13,  # whole
        "fp32-attention-mask": 7,  # the Mul that makes it and six Adds
        "fp32-exponentials": 7,  # six Softmax, and the norm of the result
        "fp32-coordinates": 2,  # what is computed of the mask
    },
}


@dataclass(frozen=True)
class InHalf:
    """A model's fp32 build of the session, and its fp16 one beside it."""

    name: str
    fp32: object
    path: object
    insert: dict
    verified: dict

    def int8(self, verified):
        return {op["node"] for op in verified["compiled"]["ops"] if op["precision"] == "int8"}


def inserted(name, fp32, path, float_type):
    command = ("insert", *RULES[name], "--float", float_type, "-o", path, "--json")
    return result(succeeded(onnxq(*command, cwd=fp32.folder)))


@pytest.fixture(scope="module", params=RULES)
def in_half(request, tmp_path_factory):
    fp32 = request.getfixturevalue(f"quantized_{request.param}")
    path = tmp_path_factory.mktemp("half") / "fp16.onnx"
    insert = inserted(request.param, fp32, path, "fp16")
    shape = SHAPES.get(request.param, [])
    command = ("verify", "model.onnx", path, "--data", "others/", *shape, "--json")
    (verified,) = result(succeeded(onnxq(*command, cwd=fp32.folder)))["models"]
    return InHalf(request.param, fp32, path, insert, verified)


def test_what_is_int8_stays_int8(in_half):
    int8 = in_half.int8(in_half.fp32.verified)
    assert in_half.int8(in_half.verified) == int8
    assert len(int8) >= 36


def test_sqnr_falls_by_less_than_a_decibel(in_half):
    fp32, fp16 = in_half.fp32.sqnr, in_half.verified["numeric"]["sqnr_db"]
    assert fp16 > fp32 - 1
    assert fp16 != fp32


def test_the_rest_is_half_but_what_has_a_reason(in_half):
    rest = in_half.insert["float_rest"]
    reasons = Counter(rest["kept"].values())
    out_of_range = {r: n for r, n in reasons.items() if r.startswith("out of range")}
    if in_half.name == "minilm":  # the least divisors of a mean and of a norm, of generated names
        assert sum(out_of_range.values()) == 2
        reasons -= Counter(out_of_range)
    assert reasons == KEPT[in_half.name]
    found = in_half.verified["float_ops"]
    assert found["fp16"] == rest["half_ops"] > 95
    assert found.get("fp32", 0) == len(rest["kept"])


def test_float_products_of_the_engine_are_half(in_half):
    others = [op for op in in_half.verified["compiled"]["ops"] if op["precision"] != "int8"]
    assert {op["dtype"] for op in others} <= {"fp16", ""}  # '' is told by no layer


def test_lint_and_the_metadata(in_half):
    assert in_half.verified["lint"] == in_half.fp32.verified["lint"]
    assert in_half.verified["made_by"]["float"] == "fp16"
    assert in_half.fp32.verified["made_by"]["float"] == "fp32"
    onnx.checker.check_model(str(in_half.path), full_check=True)


def test_weights_that_stay_in_float_are_half_the_size(in_half):
    before, after = in_half.fp32.qdq.stat().st_size, in_half.path.stat().st_size
    assert after < before


@pytest.mark.parametrize("opset", [19, 22])
def test_a_higher_opset_computes_the_same_bits(in_half, opset):
    model = onnx.load(in_half.fp32.qdq)
    rng = np.random.default_rng(0)
    feed = {name: rng.normal(size=shape) for name, shape in INPUTS[in_half.name].items()}
    kind = np.int64 if in_half.name == "minilm" else np.float32
    feed = {name: np.abs(values).astype(kind) for name, values in feed.items()}
    before, after = (computed(m, **feed) for m in (model, raised(model, opset)))
    for first, second in zip(before, after, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", RULES)
def test_bfloat16_builds(name, tmp_path, request):
    fp32 = request.getfixturevalue(f"quantized_{name}")
    path = tmp_path / "bf16.onnx"
    rest = inserted(name, fp32, path, "bf16")["float_rest"]
    command = ("verify", "model.onnx", path, *SHAPES.get(name, []), "--json")
    (verified,) = result(succeeded(onnxq(*command, cwd=fp32.folder)))["models"]
    found = {op["node"]: op["precision"] for op in verified["compiled"]["ops"]}
    assert found == {o["node"]: o["precision"] for o in fp32.verified["compiled"]["ops"]}
    assert verified["float_ops"]["bf16"] == rest["half_ops"]
    lacking = {r for r in rest["kept"].values() if r.startswith("TensorRT")}
    assert lacking == ({"TensorRT has no ConvTranspose in bf16"} if name == "ppocr" else set())


def test_bfloat16_is_not_compared_and_says_so(quantized_mobilenet, tmp_path):
    path = tmp_path / "bf16.onnx"
    inserted("mobilenet", quantized_mobilenet, path, "bf16")
    command = ("verify", "model.onnx", path, "--data", "others/", "--backend", "onnxruntime")
    told = succeeded(onnxq(*command, cwd=quantized_mobilenet.folder))
    assert "warning[OQ512]" in told.stderr
    assert "float ops: 99 in bf16" in told.stdout


def test_ports_in_half(quantized_mobilenet, tmp_path):
    path = tmp_path / "ports.onnx"
    command = ("insert", "--float", "fp16", "--io-types", "half", "-o", path)
    succeeded(onnxq(*command, cwd=quantized_mobilenet.folder))
    graph = onnx.load(path).graph
    types = {v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
    assert types == {onnx.TensorProto.FLOAT16}
    assert "Cast" not in {n.op_type for n in graph.node}
    command = ("verify", "model.onnx", path, "--data", "others/", "--json")
    (verified,) = result(succeeded(onnxq(*command, cwd=quantized_mobilenet.folder)))["models"]
    assert verified["numeric"]["sqnr_db"] > quantized_mobilenet.sqnr - 1
    assert verified["compiled"]["int8"] == 53


SCALED = (
    "g (float[1,4] x) => (float[1,4] y) <float[4,4] w, float[1] up = {30000},"
    " float[1] down = {0.001}> { [one] a = MatMul(x, w) [two] b = Mul(a, up) [three] c = Relu(b)"
    " [four] d = Mul(c, down) [five] y = MatMul(d, w) }"
)


@pytest.fixture
def scaled(tmp_path):
    """A folder with a model whose inner values exceed 65504, and samples for it."""
    onnx.save(onnx_model(SCALED), tmp_path / "model.onnx")
    values = np.random.default_rng(0).normal(size=(6, 1, 4)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=10 * values[:, 0])
    return tmp_path


def test_quantize_finds_every_value_out_of_range(scaled):
    command = ("quantize", "model.onnx", "--data", "data.npz", "--float", "fp16", "--json")
    outcome = succeeded(onnxq(*command, cwd=scaled))
    assert "warning[OQ510]: 'b' reaches" in outcome.stderr
    assert "OQ514" not in outcome.stderr
    (verified,) = result(outcome)["verify"]["models"]
    assert verified["numeric"]["sqnr_db"] > 25


def test_an_overflow_that_a_rule_forces_shows_in_verify(scaled):
    (scaled / "force.yaml").write_text(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "  - {id: force, why: test, match: {op: [Mul, Relu]}, keep_fp32: false}\n"
    )
    command = ("quantize", "model.onnx", "--rules", "force.yaml", "--data", "data.npz")
    outcome = onnxq(*command, "--float", "fp16", "--min-sqnr", "20", cwd=scaled)
    assert outcome.returncode == 1
    assert "error[OQ604]" in outcome.stderr


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--workers", "2"), marks=pytest.mark.long),
        ("--max-memory", "1"),
    ],
)
def test_ranges_are_the_same_however_the_calibration_runs(scaled, options):
    command = ("calibrate", "model.onnx", "--data", "data.npz", "--float", "fp16", "--json")
    digests = {
        result(succeeded(onnxq(*command, *more, cwd=scaled)))["digest"] for more in ((), options)
    }
    assert len(digests) == 1
    show = succeeded(onnxq("calib", "show", "model.calib.npz", "--json", cwd=scaled))
    tensors = {t["name"]: t for t in result(show)["tensors"]}
    assert tensors["b"]["max"] > 65504
    assert set(tensors) == {"x", "b", "c", "d"}
