"""Results print, show themselves, are frozen and leave no trace; bad input is an OnnxqError."""

import json
import pickle
import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import numpy as np
import onnx
import pytest
from polygraphy.common import TensorMetadata
from polygraphy.comparator import DataLoader as PolygraphyLoader

import onnxq
from tests.cli.conftest import MODEL, RULES
from tests.onnx_text import model as parsed


def _ten():
    rng = np.random.default_rng(0)
    return [{"x": rng.random((1, 3, 16, 16), np.float32)} for _ in range(10)]


FUNCTIONS = {
    "calibrate": lambda model: onnxq.calibrate(model, "imgs"),
    "tensor": lambda model: onnxq.calibrate(model, "imgs")["x"],
    "summarize": lambda model: onnxq.summarize(onnxq.calibrate(model, "imgs"), ["x"]),
    "merge": lambda model: onnxq.merge(
        [onnxq.calibrate(model, "imgs", shard=f"{n}/2") for n in (1, 2)]
    ),
    "plan": lambda model: onnxq.plan(model, "rules.yaml"),
    "scales": lambda model: onnxq.scales(model, "rules.yaml", onnxq.calibrate(model, "imgs")),
    "insert": lambda model: onnxq.insert(model, "rules.yaml", onnxq.calibrate(model, "imgs")),
    "sensitivity": lambda model: onnxq.sensitivity(
        model, "imgs", "rules.yaml", "model.calib.npz"
    ),
    "train": lambda model: onnxq.train("model.qdq.onnx", model, _ten(), epochs=1),
    "tune": lambda model: onnxq.tune(
        model, _ten(), "rules.yaml", "model.calib.npz", min_int8=0.4, improve=False
    ),
    "verify": lambda model: onnxq.verify(
        model, onnx.load("model.qdq.onnx"), data="imgs", backend="onnxruntime"
    ),
    "quantize": lambda model: onnxq.quantize(
        model, "imgs", "rules.yaml", backend="onnxruntime"
    ),
    "lint": lambda model: onnxq.lint(model),
    "lint --fix": lambda model: onnxq.lint(model, fix=True),
    "strip": lambda model: onnxq.strip("model.qdq.onnx"),
    "explain": lambda model: onnxq.explain(model, "second", "rules.yaml"),
    "doctor": lambda model: onnxq.doctor(),
    "data_loader": lambda model: onnxq.data_loader(model, "imgs", preprocess="yolo"),
    "explain a code": lambda model: onnxq.explain("OQ203"),
    "import_cache": lambda model: onnxq.import_cache("calib.cache", model),
    "export_cache": lambda model: onnxq.export_cache(onnxq.calibrate(model, "imgs"), model),
}  # fmt: skip


@pytest.fixture(params=FUNCTIONS)
def call(request):
    return FUNCTIONS[request.param]


def test_a_call_prints_nothing_and_writes_nothing(work, call, capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in the kernel of a notebook
    before = work.files()
    result = call("model.onnx")
    text = str(result)
    assert capfd.readouterr() == ("", "")
    assert work.files() == before
    assert text == text.strip("\n")
    assert not any(line != line.rstrip() for line in text.splitlines())
    assert repr(result) == text
    assert text
    assert "\x1b" not in text


def test_a_result_shows_itself_and_is_plain_data(work, call):
    result = call("model.onnx")
    html = result._repr_html_()
    assert html.startswith("<pre")
    assert "\x1b" not in html
    values = result.to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    if not isinstance(result, onnxq.DataLoader):
        assert str(pickle.loads(pickle.dumps(result))) == str(result)


def test_a_result_is_frozen(work, call):
    result = call("model.onnx")
    for field in fields(result):
        with pytest.raises(FrozenInstanceError):
            setattr(result, field.name, None)


def test_a_proto_serves_where_a_path_does_and_is_not_changed(work, call):
    proto = onnx.load("model.onnx")
    before = proto.SerializeToString(deterministic=True)
    by_path, by_proto = call("model.onnx"), call(proto)
    assert proto.SerializeToString(deterministic=True) == before
    assert type(by_proto) is type(by_path)
    assert _without_names(by_proto) == _without_names(by_path)


@pytest.mark.parametrize("name", ["lint", "strip"])
def test_a_qdq_proto_is_not_changed(work, name):
    proto = onnx.load("model.qdq.onnx")
    before = proto.SerializeToString(deterministic=True)
    options = {"fix": True} if name == "lint" else {}
    result = getattr(onnxq, name)(proto, **options)
    assert proto.SerializeToString(deterministic=True) == before
    assert result.proto is not proto


def _without_names(result):
    """The plain values, less times and the names of files, which a ModelProto does not have."""

    def kept(value):
        if isinstance(value, dict):
            named = ("model", "float_model", "teacher", "compiled", "calibration", "seconds")
            return {k: kept(v) for k, v in value.items() if k not in named}
        return [kept(v) for v in value] if isinstance(value, list) else value

    return kept(result.to_dict())


def test_what_a_loaded_model_says(work):
    model = onnxq.load("model.onnx")
    assert str(model) == "model.onnx: opset 17, 3 nodes, inputs x 1x3x16x16"
    assert onnxq.load(model) is model
    assert str(onnxq.load(onnx.load("model.onnx"))).startswith("the model: ")


SAMPLES = np.random.default_rng(1).normal(size=(4, 3, 16, 16)).astype(np.float32)
RECIPE = onnxq.Recipe.from_yaml(RULES)


def dynamic():
    proto = parsed(MODEL.replace("1,3,16,16", "1,3,H,W").replace("1,4,16,16", "1,4,H,W"))
    return onnxq.load(proto, shapes={"x": (1, 3, 16, 16)})


def test_a_model_loaded_again_has_other_shapes():
    first = dynamic()
    second = onnxq.load(first, shapes={"x": [1, 3, 32, 32]})
    assert first.shapes == {"x": (1, 3, 16, 16)}
    assert second.shapes == {"x": (1, 3, 32, 32)}
    assert second.proto is first.proto
    assert onnxq.load(second) is second
    assert onnxq.load(second, shapes={"x": (1, 3, 32, 32)}) is second
    assert [m.graph.type("y").shape for m in (first, second)] == [(1, 4, 16, 16), (1, 4, 32, 32)]
    statistics = onnxq.calibrate(second, np.zeros((1, 3, 32, 32), np.float32))
    assert statistics.input_shapes == {"x": (1, 3, 32, 32)}


def test_a_loaded_model_works_from_another_folder(work, tmp_path, monkeypatch):
    model = onnxq.load("model.onnx")
    inserted = onnxq.insert(model, "rules.yaml", "model.calib.npz")
    original = Path("model.onnx").resolve()
    monkeypatch.chdir(tmp_path)
    report = onnxq.verify(model, inserted, data=SAMPLES, backend="onnxruntime")
    assert report.data.compared == 4
    with pytest.raises(onnxq.OnnxqError) as raised:
        inserted.save(original)
    assert codes(raised) == ["OQ502"]


def test_quantize_keeps_the_shapes_of_a_model():
    result = onnxq.quantize(dynamic(), "random", RECIPE, samples=2, backend="onnxruntime")
    assert result.inserted.model.shapes == {"x": (1, 3, 16, 16)}


def test_strict_is_about_the_plan_not_the_model():
    proto = parsed(MODEL)
    proto.graph.node.add(op_type="Double", domain="com.example", input=["x"], output=["d"])
    model = onnxq.load(proto)
    assert [d.code for d in model.diagnostics] == ["OQ308"]
    statistics = onnxq.calibrate(parsed(MODEL), SAMPLES)
    plan = onnxq.plan(model, RECIPE, strict=True)
    with pytest.raises(onnxq.OnnxqError) as raised:
        onnxq.insert(model, plan, statistics, strict=True)
    assert codes(raised) == ["OQ411"]  # the next check


def test_scales_in_half_are_those_of_the_model():
    proto = parsed(MODEL)
    weight = next(t for t in proto.graph.initializer if t.name == "w")
    tiny = onnx.numpy_helper.to_array(weight) * np.float32(1e-5)
    weight.CopyFrom(onnx.numpy_helper.from_array(tiny, "w"))
    statistics = onnxq.calibrate(proto, SAMPLES)
    inserted = onnxq.insert(proto, RECIPE, statistics, float_type="fp16")
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in inserted.proto.graph.initializer}
    for pair, scale in inserted.scales.by_pair.items():
        named = [v for n, v in stored.items() if n.startswith(pair.tensor) and "scale" in n]
        assert any(np.array_equal(v, scale.astype(v.dtype)) for v in named), pair.tensor


class Tensor:
    """A tensor of another library, on which numpy can look through `__array__` alone."""

    def __init__(self, values):
        self._values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self._values, dtype)


DATA = {
    "rows": lambda: SAMPLES,
    "by name": lambda: {"x": SAMPLES},
    "list": lambda: list(SAMPLES[:, None]),
    "generator": lambda: (sample[None] for sample in SAMPLES),
    "function": lambda: lambda: (sample[None] for sample in SAMPLES),
    "dictionaries": lambda: ({"x": sample[None]} for sample in SAMPLES),
    "tuples": lambda: ((sample[None],) for sample in SAMPLES),
    "tensors": lambda: [Tensor(sample[None]) for sample in SAMPLES],
    "one tensor": lambda: Tensor(SAMPLES),
}


@pytest.mark.parametrize("form", DATA)
def test_data_in_memory_gives_the_same_in_every_form(work, form):
    statistics = onnxq.calibrate("model.onnx", DATA[form]())
    np.save("samples.npy", SAMPLES)
    assert statistics.digest == onnxq.calibrate("model.onnx", "samples.npy").digest
    assert statistics.samples == 4


@pytest.mark.parametrize("model", ["model.onnx", "model.qdq.onnx"])
def test_a_data_loader_gives_what_calibrate_reads(work, model):
    loader = onnxq.data_loader(model, "imgs", preprocess="yolo")
    passes = [onnxq.calibrate("model.onnx", loader) for _ in range(2)]
    by_path = onnxq.calibrate("model.onnx", "imgs", preprocess="yolo")
    assert {s["x"].to_dict() == by_path["x"].to_dict() for s in passes} == {True}
    assert [inputs["x"].shape for inputs in loader] == [(1, 3, 16, 16)] * 3


def test_a_data_loader_says_what_it_left_out(work):
    Path("imgs/broken.png").write_text("no picture")
    loader = onnxq.data_loader(onnxq.load("model.onnx"), "imgs")
    assert not loader.diagnostics
    assert len(list(loader)) == 3
    assert [d.code for d in loader.diagnostics] == ["OQ402"]
    assert str(loader).endswith("(yolo, the default; --preprocess changes it)")


def test_a_data_loader_of_polygraphy_is_data(work):
    metadata = TensorMetadata().add("x", np.float32, (1, 3, 16, 16))
    loader = PolygraphyLoader(iterations=3, input_metadata=metadata)
    assert onnxq.calibrate("model.onnx", loader).samples == 3


def test_torch_tensors_are_samples(work):
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(torch.from_numpy(SAMPLES), batch_size=1)
    assert (
        onnxq.calibrate("model.onnx", loader).digest
        == onnxq.calibrate("model.onnx", SAMPLES).digest
    )


def test_a_generator_serves_verify_but_not_both_steps_of_quantize(work):
    report = onnxq.verify(
        "model.onnx", "model.qdq.onnx", data=DATA["generator"](), backend="onnxruntime"
    )
    assert report.data.compared == 4
    data = DATA["generator"]()
    with pytest.raises(onnxq.OnnxqError, match="quantize reads it twice") as raised:
        onnxq.quantize("model.onnx", data, backend="onnxruntime")
    assert codes(raised) == ["OQ421"]
    assert len(list(data)) == 4  # nothing was read


def test_models_without_a_file_are_told_apart(work):
    inserted = onnxq.insert("model.onnx", "rules.yaml", "model.calib.npz")
    models = [inserted, "model.qdq.onnx", inserted.proto]
    report = onnxq.verify("model.onnx", models, data="imgs", backend="onnxruntime")
    names = [model.model for model in report.models]
    assert names == ["model 1", "model.qdq.onnx", "model 3"]
    report = onnxq.verify("model.onnx", models[:2], data="imgs", backend="onnxruntime")
    assert [model.model for model in report.models] == ["the Q/DQ model", "model.qdq.onnx"]


def luminance(red, green, blue):
    """Relative luminance, as the Web Content Accessibility Guidelines define it."""
    channels = [c / 255 for c in (red, green, blue)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return np.dot(linear, (0.2126, 0.7152, 0.0722))


def test_colours_in_a_notebook_are_readable_on_light_and_dark(work):
    html = onnxq.summarize("model.calib.npz", ["x"])._repr_html_()
    colours = {
        tuple(int(colour[i : i + 2], 16) for i in (0, 2, 4))
        for colour in re.findall(r"color: #([0-9a-f]{6})", html)
    }
    assert len(colours) >= 4
    black = 0.0056  # the dark theme of JupyterLab, #111111
    for colour in colours:
        assert 1.05 / (luminance(*colour) + 0.05) > 4, colour
        assert (luminance(*colour) + 0.05) / (black + 0.05) > 4, colour


def test_progress_gets_events_in_order(work):
    events = []
    onnxq.quantize(
        "model.onnx", "imgs", "rules.yaml", backend="onnxruntime", progress=events.append
    )
    assert all(type(event) is onnxq.Progress for event in events)
    notes = [str(event) for event in events if event.note]
    preprocess, seen = notes
    assert preprocess == (
        "preprocess: letterbox, RGB, /255 (yolo, the default; --preprocess changes it)"
    )
    assert re.fullmatch(r"x: 0\.\d+ to 0\.\d+, mean 0\.\d+", seen)
    counts = [(event.stage, event.done, event.total) for event in events if not event.note]
    calibrated = [c for c in counts if c[0] == "calibrating"]
    assert [done for _, done, _ in calibrated][-3:] == [1, 2, 3]
    assert {total for *_, total in calibrated} == {3}
    compared = [c for c in counts if c[0] == "comparing"]
    assert [done for _, done, _ in compared] == [0, 1, 2, 3]
    assert list(dict.fromkeys(stage for stage, *_ in counts)) == [
        "calibrating", "comparing", "linting"
    ]  # fmt: skip
    assert str(events[-1]) == "linting: 0"


def test_what_progress_raises_stops_the_call(work):
    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        onnxq.calibrate("model.onnx", "imgs", output="new.npz", progress=stop)
    assert not (work / "new.npz").exists()


def codes(raised):
    return [d.code for d in raised.value.diagnostics]


def other_model():
    """The small model with another weight."""
    proto = parsed(MODEL)
    weight = next(t for t in proto.graph.initializer if t.name == "w")
    values = onnx.numpy_helper.to_array(weight) + 1
    weight.CopyFrom(onnx.numpy_helper.from_array(values, "w"))
    return proto


def other_scales(method):
    """The scales of the recipe with another method."""
    recipe = onnxq.Recipe.from_yaml(RULES.replace("method: max", method))
    return onnxq.scales("model.onnx", recipe, "model.calib.npz")


def without_data():
    """A ModelProto whose weights are in a file that is not in the working folder."""
    onnx.save(
        parsed(MODEL),
        "outside.onnx",
        save_as_external_data=True,
        location="moved.data",
        size_threshold=0,
    )
    Path("moved.data").unlink()
    return onnx.load("outside.onnx", load_external_data=False)


def one_conv():
    return onnxq.Recipe.from_yaml(RULES.replace("{op: Conv}", "{op: Conv, name: first}"))


BAD = {
    "load, no file": ("OQ301", lambda: onnxq.load("no.onnx")),
    "load, no model": ("OQ302", lambda: onnxq.load("rules.yaml")),
    "load, with pairs": ("OQ303", lambda: onnxq.load("model.qdq.onnx")),
    "calibrate, no model": ("OQ301", lambda: onnxq.calibrate("no.onnx", "imgs")),
    "calibrate, no data": ("OQ401", lambda: onnxq.calibrate("model.onnx", "no")),
    "calibrate, other name": ("OQ403", lambda: onnxq.calibrate("model.onnx", {"y": SAMPLES})),
    "calibrate, other shape": ("OQ404", lambda: onnxq.calibrate("model.onnx", SAMPLES[:, :2])),
    "calibrate, no numbers": ("OQ423", lambda: onnxq.calibrate("model.onnx", [["a", "b"]])),
    "calibrate, a number": ("OQ421", lambda: onnxq.calibrate("model.onnx", 7)),
    "calibrate, NaN": ("OQ425", lambda: onnxq.calibrate("model.onnx", SAMPLES * np.nan)),
    "calibrate, no recipe": ("OQ101", lambda: onnxq.calibrate("model.onnx", "imgs", recipe="yol")),
    "calibrate, no preprocessing": (
        "OQ406", lambda: onnxq.calibrate("model.onnx", "imgs", preprocess="yol"),
    ),
    "data_loader, no data": ("OQ401", lambda: onnxq.data_loader("model.onnx", "no")),
    "data_loader, other name": ("OQ403", lambda: onnxq.data_loader("model.onnx", {"y": SAMPLES})),
    "calibrate, a shard": ("OQ434", lambda: onnxq.calibrate("model.onnx", "imgs", shard="3/2")),
    "calibrate, over the model": (
        "OQ502", lambda: onnxq.calibrate("model.onnx", "imgs", output="model.onnx"),
    ),
    "calibrate, no folder": (
        "OQ501", lambda: onnxq.calibrate("model.onnx", "imgs", output="no/new.npz"),
    ),
    "merge, no file": ("OQ410", lambda: onnxq.merge(["model.calib.npz", "no.npz"])),
    "merge, twice": ("OQ441", lambda: onnxq.merge(["model.calib.npz"] * 2)),
    "merge, other model": (
        "OQ418",
        lambda: onnxq.merge(["model.calib.npz", onnxq.calibrate(other_model(), SAMPLES)]),
    ),
    "merge, nothing": ("OQ410", lambda: onnxq.merge([])),
    "summarize, no file": ("OQ410", lambda: onnxq.summarize("no.npz")),
    "summarize, no calibration": ("OQ412", lambda: onnxq.summarize("model.onnx")),
    "summarize, no tensor": ("OQ443", lambda: onnxq.summarize("model.calib.npz", ["z"])),
    "summarize, no percentile": (
        "OQ443", lambda: onnxq.summarize("model.calib.npz", percentile=101),
    ),
    "statistics, no tensor": ("OQ443", lambda: onnxq.Statistics.load("model.calib.npz")["z"]),
    "plan, no model": ("OQ301", lambda: onnxq.plan("no.onnx")),
    "plan, no recipe": ("OQ101", lambda: onnxq.plan("model.onnx", "yol")),
    "plan, over the recipe": (
        "OQ502", lambda: onnxq.plan("model.onnx", "rules.yaml", output="rules.yaml"),
    ),
    "load_plan, no file": ("OQ212", lambda: onnxq.load_plan("no.plan", "model.onnx")),
    "load_plan, other model": (
        "OQ212",
        lambda: (
            onnxq.plan("model.onnx", output="a.plan"),
            onnxq.load_plan("a.plan", other_model()),
        ),
    ),
    "plan_changes, no file": (
        "OQ212", lambda: onnxq.plan_changes("no.plan", onnxq.plan("model.onnx")),
    ),
    "plan_lines, no node": (
        "OQ214", lambda: onnxq.plan_lines(onnxq.plan("model.onnx"), only="third"),
    ),
    "scales, no calibration": ("OQ225", lambda: onnxq.scales("model.onnx", "rules.yaml")),
    "scales, other statistics": (
        "OQ411", lambda: onnxq.scales(other_model(), "rules.yaml", "model.calib.npz"),
    ),
    "scales, other plan": (
        "OQ212", lambda: onnxq.scales("model.onnx", onnxq.plan(other_model()), "model.calib.npz"),
    ),
    "scales, no tensor": (
        "OQ419",
        lambda: onnxq.scales("model.onnx", "rules.yaml", "model.calib.npz").replaced("z", 1),
    ),
    "insert, no model": ("OQ301", lambda: onnxq.insert("no.onnx", "rules.yaml")),
    "insert, no recipe": ("OQ101", lambda: onnxq.insert("model.onnx", "yol", "model.calib.npz")),
    "insert, no calibration": ("OQ225", lambda: onnxq.insert("model.onnx", "rules.yaml")),
    "insert, no file of it": (
        "OQ410", lambda: onnxq.insert("model.onnx", "rules.yaml", "no.npz"),
    ),
    "insert, other statistics": (
        "OQ411", lambda: onnxq.insert(other_model(), "rules.yaml", "model.calib.npz"),
    ),
    "insert, other plan": (
        "OQ212", lambda: onnxq.insert("model.onnx", onnxq.plan(other_model()), "model.calib.npz"),
    ),
    "insert, types": (
        "OQ217",
        lambda: onnxq.insert("model.onnx", "rules.yaml", "model.calib.npz", io_types="half"),
    ),
    "insert, scales of another plan": (
        "OQ419",
        lambda: onnxq.insert(
            "model.onnx", "rules.yaml", "model.calib.npz", scales=other_scales("method: mse")
        ),
    ),
    "insert, scales of another model": (
        "OQ419",
        lambda: onnxq.insert(
            "model.onnx",
            "rules.yaml",
            "model.calib.npz",
            scales=onnxq.scales(
                other_model(), "rules.yaml", onnxq.calibrate(other_model(), SAMPLES)
            ),
        ),
    ),
    "insert, scales of a smaller plan": (
        "OQ419",
        lambda: onnxq.insert(
            "model.onnx",
            "rules.yaml",
            "model.calib.npz",
            scales=onnxq.scales("model.onnx", one_conv(), "model.calib.npz"),
        ),
    ),
    "insert, no type": (
        "OQ217",
        lambda: onnxq.insert("model.onnx", "rules.yaml", "model.calib.npz", float_type="float16"),
    ),
    "insert, no weights": (
        "OQ217",
        lambda: onnxq.insert("model.onnx", "rules.yaml", "model.calib.npz", weights="INT8"),
    ),
    "calibrate, no type": (
        "OQ217", lambda: onnxq.calibrate("model.onnx", "imgs", float_type="half"),
    ),
    "calibrate, no calibrator": (
        "OQ217", lambda: onnxq.calibrate("model.onnx", "imgs", calibrator="entropy"),
    ),
    "calibrate, saved over the model": (
        "OQ502", lambda: onnxq.calibrate("model.onnx", "imgs").save("model.onnx"),
    ),
    "export_cache, saved over the model": (
        "OQ502",
        lambda: onnxq.export_cache("model.calib.npz", "model.onnx").save("model.onnx"),
    ),
    "export_cache, saved over the calibration": (
        "OQ502",
        lambda: onnxq.export_cache("model.calib.npz", "model.onnx").save("model.calib.npz"),
    ),
    "merge, over one of them": (
        "OQ502",
        lambda: onnxq.merge(
            [onnxq.Statistics.load("model.calib.npz")], output="model.calib.npz"
        ),
    ),
    "summarize, no order": (
        "OQ217", lambda: onnxq.summarize("model.calib.npz", sort="size"),
    ),
    "load, no size": ("OQ405", lambda: onnxq.load("model.onnx", shapes={"x": (1, 3, -5, 16)})),
    "load, half a size": ("OQ405", lambda: onnxq.load("model.onnx", shapes={"x": (1.5, 3, 9, 9)})),
    "load, nothing": ("OQ302", lambda: onnxq.load(None)),
    "load, bytes": ("OQ302", lambda: onnxq.load(b"model")),
    "load, lost data": ("OQ302", lambda: onnxq.load(without_data())),
    "load, no such word": ("OQ217", lambda: onnxq.load("model.onnx", existing="Strip")),
    "insert, scales of a larger plan": (
        "OQ419",
        lambda: onnxq.insert(
            "model.onnx", one_conv(), "model.calib.npz", scales=other_scales("method: max")
        ),
    ),
    "load, loaded otherwise": (
        "OQ217", lambda: onnxq.load(onnxq.load("model.onnx"), existing="strip"),
    ),
    "insert, over the model": (
        "OQ502",
        lambda: onnxq.insert("model.onnx", "rules.yaml", "model.calib.npz", output="model.onnx"),
    ),
    "verify, no model": ("OQ301", lambda: onnxq.verify("model.onnx", "no.onnx")),
    "verify, two float models": ("OQ603", lambda: onnxq.verify("model.qdq.onnx", "model.onnx")),
    "verify, no Q/DQ model": ("OQ603", lambda: onnxq.verify("model.onnx", [])),
    "verify, a page over the data": (
        "OQ502",
        lambda: (
            np.save("data.npy", SAMPLES),
            onnxq.verify("model.onnx", "model.qdq.onnx", data="data.npy", html="data.npy"),
        ),
    ),
    "verify, a page over the calibration": (
        "OQ502",
        lambda: onnxq.verify(
            "model.onnx", "model.qdq.onnx", calibration="model.calib.npz", html="model.calib.npz"
        ),
    ),
    "verify, a page over the calibration beside it": (
        "OQ502",
        lambda: onnxq.verify("model.onnx", "model.qdq.onnx", html="model.calib.npz"),
    ),
    "verify, no backend": (
        "OQ217", lambda: onnxq.verify("model.onnx", "model.qdq.onnx", backend="trt"),
    ),
    "verify, no data": ("OQ401", lambda: onnxq.verify("model.onnx", "model.qdq.onnx", data="no")),
    "verify, no output": (
        "OQ654",
        lambda: onnxq.verify("model.onnx", "model.qdq.onnx", data="imgs", min_sqnr={"z": 20}),
    ),
    "verify, recipes and no page": (
        "OQ671", lambda: onnxq.verify("model.onnx", "model.qdq.onnx", recipes=["yolo"]),
    ),
    "quantize, no data": ("OQ225", lambda: onnxq.quantize("model.onnx", recipe="rules.yaml")),
    "quantize, labels without data": (
        "OQ651", lambda: onnxq.quantize("model.onnx", recipe="rules.yaml", labels="labels.csv"),
    ),
    "quantize, other plan": (
        "OQ212", lambda: onnxq.quantize("model.onnx", "imgs", onnxq.plan(other_model())),
    ),
    "improve, no improver": (
        "OQ470", lambda: onnxq.improve("model.onnx", "imgs", "rules.yaml", without=["bais"]),
    ),
    "improve, other statistics": (
        "OQ411", lambda: onnxq.improve(other_model(), "imgs", "rules.yaml", "model.calib.npz"),
    ),
    "improve, over the calibration": (
        "OQ502",
        lambda: onnxq.improve(
            "model.onnx", "imgs", "rules.yaml", "model.calib.npz", output="model.calib.npz"
        ),
    ),
    "improve, resumed from nothing": (
        "OQ434", lambda: onnxq.improve("model.onnx", "imgs", "rules.yaml", resume=True),
    ),
    "sensitivity, other statistics": (
        "OQ411", lambda: onnxq.sensitivity(other_model(), "imgs", "rules.yaml", "model.calib.npz"),
    ),
    "sensitivity, over a sample": (
        "OQ502",
        lambda: onnxq.sensitivity(
            "model.onnx", "imgs", "rules.yaml", html=sorted(Path("imgs").iterdir())[0]
        ),
    ),
    "train, no epoch": (
        "OQ710", lambda: onnxq.train("model.qdq.onnx", "model.onnx", "imgs", epochs=0),
    ),
    "train, over the model": (
        "OQ502",
        lambda: onnxq.train("model.qdq.onnx", "model.onnx", _ten(), output="model.qdq.onnx"),
    ),
    "tune, no goal": ("OQ485", lambda: onnxq.tune("model.onnx", "imgs", "rules.yaml")),
    "sensitivity, no improvement": (
        "OQ473", lambda: onnxq.sensitivity("model.onnx", "imgs", improvement="no.npz"),
    ),
    "insert, no improvement": (
        "OQ473",
        lambda: onnxq.insert("model.onnx", "rules.yaml", "model.calib.npz", improvement="no.npz"),
    ),
    "improve, over a sample": (
        "OQ502",
        lambda: onnxq.improve(
            "model.onnx", "imgs", "rules.yaml", output=sorted(Path("imgs").iterdir())[0]
        ),
    ),
    "calibrate, over a sample": (
        "OQ502",
        lambda: onnxq.calibrate("model.onnx", "imgs", output=sorted(Path("imgs").iterdir())[0]),
    ),
    "quantize, improvers without improve": (
        "OQ217", lambda: onnxq.quantize("model.onnx", "imgs", without=["learn"]),
    ),
    "quantize, no improver": (
        "OQ470", lambda: onnxq.quantize("model.onnx", "imgs", improve=True, without=["bais"]),
    ),
    "lint, no model": ("OQ301", lambda: onnxq.lint("no.onnx")),
    "lint, output without fix": ("OQ639", lambda: onnxq.lint("model.qdq.onnx", output="new.onnx")),
    "strip, no pair": ("OQ531", lambda: onnxq.strip("model.onnx")),
    "strip, over the float model": (
        "OQ502",
        lambda: onnxq.strip(
            onnxq.insert("model.onnx", "rules.yaml", "model.calib.npz"), output="model.onnx"
        ),
    ),
    "strip, over the model": (
        "OQ502", lambda: onnxq.strip("model.qdq.onnx", output="model.qdq.onnx"),
    ),
    "explain, no node": ("OQ214", lambda: onnxq.explain("model.onnx", "third")),
    "explain, no code": ("OQ214", lambda: onnxq.explain("OQ999")),
    "explain, no target": ("OQ214", lambda: onnxq.explain("model.onnx")),
    "import_cache, no file": ("OQ450", lambda: onnxq.import_cache("no.cache", "model.onnx")),
    "import_cache, no cache": ("OQ450", lambda: onnxq.import_cache("rules.yaml", "model.onnx")),
    "import_cache, over a calibration": (
        "OQ502",
        lambda: onnxq.import_cache("calib.cache", "model.onnx", output="model.calib.npz"),
    ),
    "export_cache, no file": ("OQ410", lambda: onnxq.export_cache("no.npz", "model.onnx")),
    "export_cache, other model": (
        "OQ411", lambda: onnxq.export_cache("model.calib.npz", other_model()),
    ),
    "export_cache, no method": (
        "OQ456", lambda: onnxq.export_cache("model.calib.npz", "model.onnx", method="mean"),
    ),
    "load_recipe": ("OQ101", lambda: onnxq.load_recipe("yol")),
    "load_preprocess": ("OQ406", lambda: onnxq.load_preprocess("yol")),
    "recipe_text": ("OQ101", lambda: onnxq.recipe_text("yol")),
    "preprocess_text": ("OQ406", lambda: onnxq.preprocess_text("yol")),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_an_error_with_its_code(work, name):
    code, call = BAD[name]
    with pytest.raises(onnxq.OnnxqError) as raised:
        call()
    assert codes(raised) == [code], raised.value
    assert all(d.message and d.fix for d in raised.value.diagnostics)


def test_every_verb_is_called_with_bad_input():
    functions = {n for n in onnxq.__all__ if n[0].islower()}
    tested = {name.partition(",")[0] for name in BAD}
    cannot_fail = {"doctor", "rule_schema", "shipped_recipes", "shipped_preprocessings"}
    arrays = {"fake_tensor_quant", "tensor_quant"}  # tests/unit/test_quantization.py
    assert functions - tested == cannot_fail | arrays | {"require_calibration_of"}
