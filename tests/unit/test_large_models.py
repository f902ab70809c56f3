"""Models whose weights stay in their files: small ones here, with the limit set to nothing."""

import fcntl
import math
import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from onnxq.calibration.exposing import expose
from onnxq.diagnostics import OnnxqError
from onnxq.files import whole_file
from onnxq.model import io as models
from onnxq.model import preparing, weights
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.model.model_file import read_light, write_external, write_inline
from onnxq.sessions import CPU, open_session
from tests.inserting import quantized
from tests.onnx_text import model

TEXT = """
agraph (float[1,8,6,6] x, bool c) => (float y, float z)
<float[16,8,3,3] w, float[16] b, float[16,16,1,1] v> {
    h = Conv <pads = [1,1,1,1]> (x, w, b)
    y = Conv (h, v)
    z = If (c) <
        then_branch = t () => (float[16,8,3,3] p) { p = Relu (w) },
        else_branch = e () => (float[16,8,3,3] q) { q = Neg (w) }
    >
}
"""
X = np.random.default_rng(0).standard_normal((1, 8, 6, 6)).astype(np.float32)
INPUTS = {"x": X, "c": np.array(True)}


def proto(opset=17):
    made = model(TEXT, opset=opset)
    made.metadata_props.add(key="classes", value="cat,dog")
    made.graph.initializer[0].doc_string = "a note"
    return made


@pytest.fixture
def referring(monkeypatch):
    """Weights of every model stay in their files."""
    monkeypatch.setattr(models, "HELD", 0)


def saved(folder, made=None, *, external=False):
    path = folder / "model.onnx"
    options = {"save_as_external_data": True, "location": "w.bin", "size_threshold": 0}
    onnx.save(made or proto(), path, **(options if external else {}))
    return path


def loaded(path):
    """The model, as one that never had external data."""
    made = onnx.load(path)
    for tensor in weights.tensors(made):
        tensor.ClearField("data_location")
    return made


def references(made):
    return {t.name for t in weights.tensors(made) if uses_external_data(t)}


def arrays(made):
    return {t.name: weights.array(t) for t in made.graph.initializer}


def equal(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


@pytest.mark.parametrize("external", [False, True])
def test_large_weights_are_referred_to_and_small_ones_held(tmp_path, referring, external):
    made = models.load(saved(tmp_path, external=external))
    assert references(made) == {"w", "v"}
    assert made.ByteSize() < 2500
    equal(arrays(made), arrays(proto()))


@pytest.mark.parametrize("external", [False, True])
def test_small_models_are_held_whole(tmp_path, external):
    assert models.load(saved(tmp_path, external=external)) == proto()


def test_inline_and_back_loses_nothing(tmp_path):
    with (tmp_path / "again.onnx").open("wb") as file:
        write_inline(read_light(saved(tmp_path)), file)
    again = onnx.load(tmp_path / "again.onnx")
    assert again == proto()
    onnx.checker.check_model(again, full_check=True)


@pytest.mark.parametrize("external", [False, True])
def test_external_and_back_loses_nothing(tmp_path, referring, external):
    made = models.load(saved(tmp_path, external=external))
    out, data = tmp_path / "out.onnx", tmp_path / "out.onnx.data"
    models.save(made, out, external=True)
    light = onnx.load(out, load_external_data=False)
    assert references(light) == {"w", "v"}
    places = [e for t in light.graph.initializer for e in t.external_data]
    assert {e.value for e in places if e.key == "location"} == {"out.onnx.data"}
    assert all(int(e.value) % 4096 == 0 for e in places if e.key == "offset")
    assert data.stat().st_size < 3 * 4096 + 16 * 16 * 4
    onnx.checker.check_model(str(out), full_check=True)
    again = loaded(out)
    assert again == proto()


def test_attributes_and_subgraphs_with_external_data(tmp_path, referring):
    big = numpy_helper.from_array(np.arange(512, dtype=np.float32), "k")
    nodes = [helper.make_node("Constant", [], ["k"], value=big),
             helper.make_node("Add", ["x", "k"], ["y"])]  # fmt: skip
    values = [helper.make_tensor_value_info(n, 1, [512]) for n in "xy"]
    whole = helper.make_model(
        helper.make_graph(nodes, "g", values[:1], values[1:]),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    path = tmp_path / "model.onnx"
    copy = onnx.ModelProto()
    copy.CopyFrom(whole)
    onnx.save(copy, path, save_as_external_data=True, location="w.bin", convert_attribute=True)
    assert models.external_files(path) == [tmp_path / "w.bin"]
    made = models.load(path)
    assert references(made) == {"k"}
    for external in (False, True):
        models.save(made, tmp_path / "out.onnx", external=external)
        assert loaded(tmp_path / "out.onnx") == whole
    x = np.ones(512, np.float32)
    found = open_session(made).run(None, {"x": x})[0]
    np.testing.assert_array_equal(found, x + np.arange(512))


@pytest.mark.parametrize("external", [False, True])
def test_insert_gives_the_same_bytes_from_references(tmp_path, monkeypatch, external):
    path = saved(tmp_path, external=external)
    models.save(quantized(tmp_path, models.load(path)), tmp_path / "held.onnx")
    monkeypatch.setattr(models, "HELD", 0)
    made = preparing.name_nodes(models.load(path))
    before = made.SerializeToString()
    result = quantized(tmp_path, made)
    assert made.SerializeToString() == before
    models.save(result, tmp_path / "light.onnx")
    assert (tmp_path / "light.onnx").read_bytes() == (tmp_path / "held.onnx").read_bytes()


@pytest.mark.parametrize("shift", range(4))
def test_sessions_of_references(tmp_path, referring, shift):
    made = proto()
    made.doc_string = "x" * shift  # so that the weights begin at any byte of the file
    path = saved(tmp_path, made)
    whole = open_session(with_inner_outputs(made, ["h"])).run(None, INPUTS)
    light = models.load(path)
    misaligned = [n for n, a in arrays(light).items() if not a.flags.aligned]
    found = open_session(with_inner_outputs(light, ["h"])).run(None, INPUTS)
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one, other)
    assert shift == 0 or bool(misaligned) == any(
        weights.place(t).offset % 4 for t in light.graph.initializer if t.name in "wv"
    )


@pytest.mark.parametrize("shift", range(4))
def test_exposing_what_does_not_need_the_last_weights(tmp_path, referring, shift):
    made = proto()
    made.doc_string = "x" * shift
    light = models.load(saved(tmp_path, made))
    exposing = expose(light, ["h"], providers=[CPU], threads=1)
    (found,) = exposing.session.run(["h"], INPUTS)
    np.testing.assert_array_equal(
        found, open_session(with_inner_outputs(made, ["h"])).run(["h"], INPUTS)[0]
    )


@pytest.mark.parametrize("shift", range(4))
def test_large_weights_that_nothing_reads(tmp_path, referring, shift):
    made = proto()
    made.doc_string = "x" * shift
    made.graph.initializer.append(numpy_helper.from_array(np.ones((64, 64), np.float32), "unread"))
    found = open_session(models.load(saved(tmp_path, made))).run(None, INPUTS)
    for one, other in zip(found, open_session(made).run(None, INPUTS), strict=True):
        np.testing.assert_array_equal(one, other)


def test_some_weights_begin_where_floats_may_not(tmp_path, referring):
    """So that the test above has a case of what it is for."""
    offsets = set()
    for shift in range(4):
        made = proto()
        made.doc_string = "x" * shift
        light = models.load(saved(tmp_path, made))
        offsets |= {weights.place(t).offset % 4 for t in light.graph.initializer if t.name == "w"}
    assert len(offsets) > 1


def test_raising_the_opset_needs_no_weights(tmp_path, referring):
    made = proto(11)
    made.ir_version = 6
    raised = preparing.prepare(models.load(saved(tmp_path, made)))
    assert preparing.opset(raised) == preparing.QDQ_OPSET
    assert references(raised) == {"w", "v"}
    equal(arrays(raised), arrays(made))


@pytest.mark.parametrize(
    ("dtype", "width"), [(TensorProto.BFLOAT16, 2), (TensorProto.INT4, 0.5), (TensorProto.FLOAT, 4)]
)
def test_types_of_references(tmp_path, referring, dtype, width):
    shape = (64, 64)
    raw = np.random.default_rng(0).integers(0, 100, math.ceil(64 * 64 * width), np.uint8).tobytes()
    tensor = TensorProto(name="added", data_type=dtype, dims=shape, raw_data=raw)
    made = proto(21)
    made.ir_version = 10
    made.graph.initializer.append(tensor)
    light = models.load(saved(tmp_path, made))
    assert "added" in references(light)
    found = weights.array(light.graph.initializer[-1])
    assert found.tobytes() == numpy_helper.to_array(tensor).tobytes()
    assert found.shape == shape


def test_digests_do_not_depend_on_how_a_model_is_read(tmp_path, monkeypatch):
    path = saved(tmp_path, external=True)
    before = models.digest(path)
    monkeypatch.setattr(models, "HELD", 0)
    assert models.digest(path) == before
    content = bytearray((tmp_path / "w.bin").read_bytes())
    content[-1] ^= 1
    (tmp_path / "w.bin").write_bytes(content)
    assert models.digest(path) != before


def test_damaged_files_are_told(tmp_path, referring):
    whole = saved(tmp_path).read_bytes()
    damaged = tmp_path / "damaged.onnx"
    rng = np.random.default_rng(0)
    for length in (1, 2, 9, 100, len(whole) // 2, len(whole) - 1, *rng.integers(1, len(whole), 40)):
        damaged.write_bytes(whole[:length])
        refused(damaged)
    for seed in range(200):
        content = bytearray(whole)
        content[np.random.default_rng(seed).integers(60)] ^= 1 << seed % 8
        damaged.write_bytes(content)
        refused(damaged, required=False)


def refused(path, *, required=True):
    """Load a damaged model; anything but a coded error is a failure."""
    codes = []
    try:
        models.load(path)
    except OnnxqError as caught:
        codes = [d.code for d in caught.diagnostics]
    assert codes == ["OQ302"] or not (codes or required)


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("location", "../secret.bin", "OQ302"),
        ("location", "missing.bin", "OQ301"),
        ("location", "link.bin", "OQ302"),
        ("offset", "999999", "OQ302"),
        ("offset", "-4", "OQ302"),
        ("length", "999999", "OQ302"),
        ("length", "many", "OQ302"),
    ],
)
def test_data_that_is_not_where_it_should_be(tmp_path, referring, key, value, code):
    (tmp_path / "secret.bin").write_bytes(bytes(10_000))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.bin").symlink_to("../secret.bin")
    path = saved(folder, external=True)
    made = onnx.load(path, load_external_data=False)
    for entry in made.graph.initializer[0].external_data:
        entry.value = value if entry.key == key else entry.value
    path.write_bytes(made.SerializeToString())
    with pytest.raises(OnnxqError) as caught:
        models.load(path)
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_a_cache_of_links_as_model_hubs_have_it(tmp_path, referring):
    """Models there are links to blobs, named by digests, in one other folder."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    saved(tmp_path / "blobs", external=True).rename(tmp_path / "blobs" / "1a")
    (tmp_path / "blobs" / "w.bin").rename(tmp_path / "blobs" / "2b")
    (tmp_path / "snapshot" / "model.onnx").symlink_to("../blobs/1a")
    (tmp_path / "snapshot" / "w.bin").symlink_to("../blobs/2b")
    made = models.load(tmp_path / "snapshot" / "model.onnx")
    equal(arrays(made), arrays(proto()))
    np.testing.assert_array_equal(
        open_session(made).run(None, INPUTS)[0], open_session(proto()).run(None, INPUTS)[0]
    )


def test_a_proto_that_is_too_large_in_memory():
    made = proto()
    made.graph.initializer.append(TensorProto(name="huge", data_type=1, dims=[2**30]))
    with pytest.raises(OnnxqError) as caught:
        preparing.prepare(made)
    assert caught.value.diagnostics[0].code == "OQ307"


def test_a_shape_that_claims_more_than_the_file_has(tmp_path):
    made = proto()
    made.graph.initializer.append(TensorProto(name="huge", data_type=1, dims=[2**50]))
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(OnnxqError, match="the data of 'huge' is not all in the file") as caught:
        models.load(tmp_path / "m.onnx")
    assert [d.code for d in caught.value.diagnostics] == ["OQ302"]


@pytest.mark.parametrize(
    ("kind", "length", "wanted"),
    [("FLOAT", 24, 12), ("FLOAT", 8, 12), ("INT4", 3, 2), ("FLOAT16", 12, 6)],
)
def test_data_of_another_length_than_the_shape(tmp_path, kind, length, wanted):
    made = proto()
    tensor = TensorProto(name="odd", data_type=TensorProto.DataType.Value(kind), dims=[3])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "odd.bin"), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    made.graph.initializer.append(tensor)
    (tmp_path / "odd.bin").write_bytes(bytes(24))
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(OnnxqError) as caught:
        models.load(tmp_path / "m.onnx")
    (found,) = caught.value.diagnostics
    assert found.code == "OQ302"
    assert f"'odd' has {length} bytes in 'odd.bin', and its type and shape need {wanted}" in (
        found.message
    )


def test_what_killed_runs_left_is_removed_and_what_others_write_is_not(tmp_path):
    path = tmp_path / "model[1].onnx"
    abandoned, held = tmp_path / f".{path.name}.x1.part", tmp_path / f".{path.name}.x2.part"
    other = tmp_path / ".model1.onnx.x3.part"
    for part in (abandoned, held, other):
        part.write_bytes(b"part")
    with held.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with whole_file(path) as part:
            part.write_bytes(b"whole")
            with whole_file(path) as second:
                second.write_bytes(b"other")
            assert part.read_bytes() == b"whole"
    assert path.read_bytes() == b"whole"
    assert {p.name for p in tmp_path.iterdir()} == {path.name, held.name, other.name}


def test_an_older_model_never_reads_newer_data(tmp_path, monkeypatch):
    """Between the two renames there is no model, so that a kill there leaves none."""
    out = tmp_path / "out.onnx"
    models.save(proto(), out, external=True)
    seen = []

    def replace(source, target):
        seen.append((str(target).removeprefix(f"{out}"), out.exists()))
        real(source, target)

    real = os.replace
    monkeypatch.setattr(os, "replace", replace)
    models.save(proto(), out, external=True)
    assert seen == [(".data", False), ("", False)]
    assert loaded(out) == proto()


def test_external_data_is_written_for_held_weights_too(tmp_path):
    with (tmp_path / "m.onnx").open("wb") as file, (tmp_path / "d").open("wb") as data:
        write_external(proto(), file, data, "d")
    assert loaded(tmp_path / "m.onnx") == proto()
