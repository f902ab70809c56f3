"""`onnxq verify --html`: what is on the page, read without a browser."""

import functools
import re
import sys

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxq import shipped
from onnxq.calibration.statistics import Statistics
from onnxq.model import graph, io, preparing
from onnxq.planning import cascade, recipe
from tests.command import succeeded
from tests.onnx_text import model

from .conftest import HOSTILE, TENSOR, VERIFY, Page, running_scripts

QUICK = (*VERIFY, "--backend", "onnxruntime", "--html", "report.html")
PRODUCT = """product (float[2,64] x) => (float[2,8] y) <float[64,8] w> {
    [first] y = MatMul (x, w)
}"""
DATA = ("--data", "imgs")


@pytest.fixture(scope="session")
def page(full):
    return Page(full)


def written(here, *options, code=0):
    outcome = here.run(*QUICK, *options)
    assert outcome.returncode == code, outcome.stderr
    return Page(here / "report.html")


def amaxes(path):
    """By tensor: 127 times the scale of the pairs of activations."""
    proto = onnx.load(path)
    values = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    return {
        n.input[0]: 127 * float(values[n.input[1]])
        for n in proto.graph.node
        if n.op_type == "QuantizeLinear"
    }


def test_nothing_is_loaded(full, page):
    text = full.read_text()
    assert not re.search(r"@import|url\(|srcset", text)
    for element in page.elements:
        assert "src" not in element.attributes
        for name in ("href", "xlink:href", "action", "data"):
            assert element.attributes.get(name, "#").startswith(("#", "data:,")), element
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0].attributes["content"]
    assert policy.startswith("default-src 'none'; ")


def test_names_of_a_model_are_text(page):
    assert len(running_scripts(page)) == 1
    assert not page.all("img")
    assert "onerror" not in running_scripts(page)[0].text
    assert HOSTILE in page.words("layer-table")
    assert TENSOR in [e.text for e in page.all("h3")]
    assert not [e for e in page.elements if any(key.startswith("on") for key in e.attributes)]


def test_every_quantized_tensor_has_its_histogram_and_amaxes(page, made):
    seen = Statistics.load(next(made.glob("*.calib.npz"))).tensors
    for name in ("a.qdq.onnx", "b.qdq.onnx"):
        chosen = amaxes(made / name)
        assert set(chosen) == {"x", TENSOR}
        cards = [e.text.strip() for e in page.all("article")]
        assert len(cards) == len(chosen)
        for tensor, amax in chosen.items():
            (card,) = (text for text in cards if text.startswith(tensor))
            assert re.search(rf"{re.escape(name)}\D*{re.escape(f'{amax:.4g}')}", card)
            assert f"{seen[tensor].range.count:,} values" in card
            for method in ("max", "percentile 99.99", "mse", "entropy"):
                assert method in card
    charts = [e for e in page.all("svg", **{"class": "marks"}) if "article" in e.inside]
    assert len(charts) == 2
    drawn = {e.attributes.get("stroke") for e in page.all("line") if e.inside.count("svg")}
    for kind in ("model0", "model1", "max", "percentile", "mse", "entropy"):
        assert f"var(--{kind})" in drawn


def test_layers_tell_of_both_models(page):
    rows = [e for e in page.all("tr") if "data-model" in e.attributes and "data-op" in e.attributes]
    assert [r.attributes["data-model"] for r in rows] == ["a.qdq.onnx", "b.qdq.onnx"] * 2
    assert {r.attributes["data-type"] for r in rows} == {"int8"}
    values = [e.attributes["data-value"] for e in page.all("td") if "data-value" in e.attributes]
    assert "27648" in values  # MACs of the first Conv: 16 * 16 * 4 * 27
    for row in rows:  # MACs, alone and so far
        assert len(re.findall(r"\d+\.\d\d", row.text)) == 2


def test_decisions_name_their_rules(page, made):
    path = made / "model.onnx"
    view = graph.Graph(preparing.prepare(io.load(path)), digest=io.digest(path))
    for name, file in (("a.qdq.onnx", "trt-int8"), ("b.qdq.onnx", made / "rules.yaml")):
        plan = cascade.plan(view, recipe.load(file))
        rows = [e for e in page.all("tr", **{"data-model": name}) if "data-rule" in e.attributes]
        assert [r.attributes["data-rule"] for r in rows] == [d.because.rule for d in plan.decisions]
        assert {d.because.why for d in plan.decisions} <= {e.words for e in page.all("dd")}


def test_decisions_on_whole_ops_are_on_the_page(here):
    made = onnx.load(here / "model.onnx")
    made.graph.node.append(helper.make_node("Softmax", ["y"], ["chances"], "soft"))
    made.graph.output[0].name = "chances"
    onnx.save(made, here / "model.onnx")
    succeeded(here.run("calibrate", "model.onnx", *DATA))
    succeeded(here.run("insert", "model.onnx", "-o", "a.qdq.onnx"))
    assert "soft - - fp32 - fp32-exponentials" in written(here, *DATA).words("decision-table")


def test_the_page_has_no_path_of_the_machine(full, made):
    text = full.read_text()
    for folder in (made, shipped.folder().resolve(), full.parent):
        assert str(folder) not in text


def test_the_summary_compares_and_judges(page):
    words = page.words("summary")
    assert re.search(r"verdict passed (good|fair), .* dB; int8: \d+ of \d+ ops.* passed", words)
    assert "SQNR of every output at least 5 dB" in words
    assert "recipe trt-int8 rules" in words
    assert "MACs in int8 100.0% 100.0%" in words
    assert re.search(r"compiled by tensorrt-rtx [\d.]+ tensorrt-rtx", words)


def test_a_missed_threshold_is_on_the_page(here):
    page = written(here, *DATA, "--min-sqnr", "90", code=1)
    assert "verdict failed" in page.words("summary")
    assert "OQ604" in page.words("findings")


def test_the_page_says_what_is_not_known(here):
    next(here.folder.glob("*.calib.npz")).unlink()
    words = written(here).words("summary")
    for text in (
        "--data",
        "the calibration was not found; name its file",
        "--backend was onnxruntime",
    ):
        assert text in words
    assert "verdict no thresholds not compared" in words
    words = written(here, *DATA).words("summary")
    assert "--tensors" in words
    assert "there is no --data" not in words


def test_layers_without_a_compiler_are_what_lint_expects(here):
    rows = [e for e in written(here).all("tr") if "data-op" in e.attributes]
    assert [r.attributes["data-type"] for r in rows] == ["int8, expected"] * 2


def test_int4_weights_have_a_page(here):
    onnx.save(model(PRODUCT), here / "product.onnx")
    html = ("--rules", "trt-int4-weights", "--html", "report.html")
    succeeded(here.run("quantize", "product.onnx", *html))
    page = Page(here / "report.html")
    types = [e.attributes["data-type"] for e in page.all("tr") if "data-op" in e.attributes]
    assert types == ["int4"]
    assert "int4 100.0 %" in page.words("summary")


def test_recipe_that_is_not_shipped_must_be_given(here):
    html = ("--backend", "onnxruntime", "--html", "report.html")
    verify = ("verify", "model.onnx", "b.qdq.onnx", *html)
    succeeded(here.run(*verify))
    words = Page(here / "report.html").words("summary")
    assert "it was made by the recipe 'rules'; give that with --rules" in words
    succeeded(here.run(*verify, "--rules", "rules.yaml"))
    assert "test" in Page(here / "report.html").words("decisions")
    succeeded(here.run("plan", "model.onnx", "--rules", "rules.yaml", "-o", "saved.plan"))
    succeeded(here.run(*verify, "--plan", "saved.plan"))
    assert "convs" in Page(here / "report.html").words("decisions")


def test_recipe_that_made_none_of_the_models_is_told(here):
    (here / "other.yaml").write_text((here / "rules.yaml").read_text().replace("Conv", "Relu"))
    outcome = succeeded(
        here.run(
            "verify", "model.onnx", "b.qdq.onnx", "--backend", "onnxruntime",
            "--html", "report.html", "--rules", "other.yaml",
        )
    )  # fmt: skip
    assert "warning[OQ672]" in outcome.stderr
    assert "OQ672" in Page(here / "report.html").words("findings")


def test_calibration_of_another_model_gives_no_histograms(here):
    other = onnx.load(here / "model.onnx")
    other.graph.node[0].name = "other"
    onnx.save(other, here / "other.onnx")
    calibrate = ("calibrate", "other.onnx", *DATA, "-o", "other.npz")
    succeeded(here.run(*calibrate))
    page = written(here, "--calibration", "other.npz")
    assert "the given calibration did not make the model" in page.words("summary")
    assert not [e for e in page.all("svg", **{"class": "marks"}) if "article" in e.inside]


def test_models_of_other_tools_have_a_page(here):
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rest = [{"x": np.ones((1, 3, 16, 16), np.float32)}]

        def get_next(self):
            return self.rest.pop() if self.rest else None

    quantize_static(
        here / "model.onnx", here / "ort.qdq.onnx", Reader(), activation_type=QuantType.QUInt8
    )
    calibration = next(here.folder.glob("*.calib.npz"))
    here.run(
        "verify", "model.onnx", "ort.qdq.onnx", "--backend", "onnxruntime",
        "--html", "report.html", "--calibration", calibration,
    )  # fmt: skip
    page = Page(here / "report.html")
    assert "the model does not record a plan" in page.words("summary")
    assert TENSOR in page.words("tensors")


def test_equal_runs_give_equal_pages(here):
    succeeded(here.run(*QUICK, *DATA))
    first = (here / "report.html").read_bytes()
    succeeded(here.run(*QUICK, *DATA))
    assert (here / "report.html").read_bytes() == first


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("OQ501", ("--html", "missing/report.html")),
        ("OQ502", ("--html", "a.qdq.onnx")),
        ("OQ671", ("--rules", "rules.yaml")),
        ("OQ101", ("--html", "report.html", "--rules", "nothing.yaml")),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(here, code, options):
    here.refuses(code, *VERIFY, *options)


def hide(package):
    """As where a package is not installed."""
    sys.modules[package] = None


@pytest.mark.parametrize("package", ["jinja2", "vl_convert"])
def test_without_what_draws_it(here, package):
    missing = functools.partial(hide, package)
    told = here.refuses("OQ670", *QUICK, exit_code=3, prepare=missing)
    assert "onnxq[html]" in told
