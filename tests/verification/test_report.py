import json
import sys

import numpy as np
import pytest

from onnxq import verify
from onnxq.diagnostics import BackendMissingError, OnnxqError, Severity
from onnxq.verification import available

from .models import Builder, float_conv, quantized_conv, saved


def paths(folder, qdq=None, **options):
    return (
        saved(float_conv(**options), folder, "float.onnx"),
        [saved(qdq or quantized_conv(**options), folder, "qdq.onnx")],
    )


def samples(count=2, shape=(1, 4, 8, 8)):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(np.float32) for _ in range(count)]


def verified(model, qdq, data, **options):
    """The report on the one Q/DQ model."""
    (report,) = verify(model, qdq, data=data, **options).models
    return report


def as_json(report):
    (model,) = json.loads(json.dumps(report.to_dict(), allow_nan=False))["models"]
    return model


def test_three_answers(tmp_path):
    events = []
    report = verified(*paths(tmp_path), iter(samples(3)), progress=events.append)
    assert report.lint == report.diagnostics == ()
    compared = [e.done for e in events if e.stage == "comparing"]
    assert (report.numeric.samples, compared) == (3, [0, 1, 2, 3])
    assert report.compiled.int8 == 1
    assert (report.why_not_numeric, report.why_not_compiled) == (None, None)


def test_json_says_whether_all_passed(tmp_path):
    files = paths(tmp_path)
    for limit, passed in ((-20, True), (500, False)):
        options = {"data": samples(), "backend": "onnxruntime", "min_sqnr": limit}
        assert verify(*files, **options).to_dict()["passed"] is passed


def test_json_has_stable_keys_and_no_nan(tmp_path):
    report = as_json(verify(*paths(tmp_path), data=samples()))
    assert list(report) == [
        "model",
        "made_by",
        "float_ops",
        "lint",
        "numeric",
        "why_not_numeric",
        "compiled",
        "why_not_compiled",
        "cost",
        "why_no_cost",
    ]
    assert list(report["numeric"]) == [
        "samples",
        "outputs",
        "accuracy",
        "detections",
        "tensors",
        "unmatched",
        "inside",
        "stand_ins",
        "notes",
        "sqnr_db",
        "cosine",
        "culprits",
    ]
    assert report["compiled"] == {
        "backend": "tensorrt-rtx",
        "version": available(),
        "targets": [],
        "engine_bytes": report["compiled"]["engine_bytes"],
        "engine_file": "",
        "fp32_engine_bytes": None,
        "conversions": {
            "requantize": 0,
            "quantize": 1,
            "dequantize": 0,
            "weights": 0,
            "reformat": 0,
            "unclear": 0,
        },
        "ops": [
            {
                "node": "conv",
                "op": "Conv",
                "precision": "int8",
                "expected": "int8",
                "dtype": "int8",
                "reason": "",
                "macs": 18432,
                "layers": ["conv_myl0_1"],
            }
        ],
        "without": [],
        "notes": [],
        "int8": 1,
        "int8_macs": 1.0,
        "quantized_macs": 1.0,
        "macs": {"int8": 1.0},
        "counts": {"Conv": {"int8": 1, "fp8": 0, "int4": 0, "total": 1}},
    }


def test_json_of_equal_models_and_of_findings(tmp_path):
    path = saved(float_conv(), tmp_path)
    report = as_json(verify(path, [path], data=samples(), backend="onnxruntime"))
    assert report["numeric"]["sqnr_db"] == report["numeric"]["outputs"][0]["sqnr_db"] == "inf"
    assert report["compiled"] is report["why_not_compiled"] is None
    (found,) = report["lint"]
    assert list(found) == ["code", "message", "fix", "severity", "span", "effect", "node"]
    assert found["code"] == "OQ621"


def test_dynamic_inputs_take_the_shape_of_the_first_sample(tmp_path):
    files = paths(tmp_path, shape=("n", 4, "h", "w"))
    report = verified(*files, samples(shape=(2, 4, 6, 8)))
    assert report.numeric.samples == 2
    assert report.compiled.ops[0].macs == 2 * 8 * 6 * 8 * 36
    report = verified(*files, None, shapes={"x": (1, 4, 4, 4)})
    assert report.compiled.ops[0].macs == 8 * 4 * 4 * 36


def test_the_engine_is_kept_though_its_build_is_known(tmp_path):
    files, engine = paths(tmp_path), tmp_path / "model.engine"
    known = verified(*files, None)
    for _ in range(2):
        kept = verified(*files, None, keep_engine=engine)
        assert engine.stat().st_size == kept.compiled.engine_bytes
        assert kept.compiled.ops == known.compiled.ops
        engine.unlink()


def test_a_failed_build_leaves_the_older_engine(tmp_path):
    build, engine = Builder(), tmp_path / "model.engine"
    rejected = build.model(build.conv(build.pair("x", zero=np.int8(3)), 4, 8, scale=None))
    engine.write_bytes(b"older")
    report = verified(*paths(tmp_path, rejected), None, keep_engine=engine)
    assert report.compiled is None
    assert engine.read_bytes() == b"older"


def test_without_samples(tmp_path):
    report = verified(*paths(tmp_path), None)
    assert (report.numeric, report.why_not_numeric) == (None, None)
    assert report.compiled.int8 == 1
    with pytest.raises(OnnxqError) as caught:
        verified(*paths(tmp_path), [])
    assert caught.value.diagnostics[0].code == "OQ401"


def test_one_answer_that_fails_leaves_the_others(tmp_path):
    build = Builder()
    rejected = build.model(build.conv(build.pair("x", zero=np.int8(3)), 4, 8, scale=None))
    report = verified(*paths(tmp_path, rejected), samples())
    assert report.numeric.samples == 2
    assert report.compiled is None
    assert (report.why_not_compiled.code, report.why_not_compiled.severity) == (
        "OQ602",
        Severity.ERROR,
    )
    assert [d.code for d in report.diagnostics] == ["OQ610", "OQ602"]

    refused = quantized_conv(opset=12)
    report = verified(*paths(tmp_path, refused), samples())
    assert (report.numeric, report.why_not_numeric.code) == (None, "OQ305")
    assert report.compiled.int8 == 1


def test_without_the_compiler(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    report = verified(*paths(tmp_path), samples())
    assert report.numeric.samples == 2
    assert (report.compiled, report.why_not_compiled.code) == (None, "OQ601")
    assert report.why_not_compiled.severity is Severity.WARNING
    with pytest.raises(BackendMissingError):
        verified(*paths(tmp_path), samples(), backend="tensorrt-rtx")


@pytest.mark.parametrize("which", [0, 1])
def test_a_file_that_cannot_be_read(tmp_path, which):
    files = list(paths(tmp_path))
    files[which] = [tmp_path / "none.onnx"] if which else tmp_path / "none.onnx"
    with pytest.raises(OnnxqError) as caught:
        verified(*files, samples())
    assert caught.value.diagnostics[0].code == "OQ301"


def test_models_that_do_not_belong_together(tmp_path):
    build = Builder()
    other = build.model(build.op("Relu", "x", name="other"))
    with pytest.raises(OnnxqError) as caught:
        verified(*paths(tmp_path, other), samples())
    assert caught.value.diagnostics[0].code == "OQ603"
