"""TensorRT calibration caches: the format, what is refused, and scales that survive both ways."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxq.calibration import cache as calibration_cache
from onnxq.diagnostics import OnnxqError
from onnxq.insertion.scales import compute_scales
from onnxq.model.graph import Graph
from onnxq.model.preparing import name_nodes
from onnxq.quantization import SMALLEST_AMAX, scale_of
from tests.onnx_text import model
from tests.planning import planned, rule

# As TensorRT wrote it for a ResNet-18: https://github.com/NVIDIA/TensorRT/issues/681
RESNET = """\
TRT-7000-EntropyCalibration2
data: 3caa54fc
(Unnamed Layer* 0) [Convolution]_output: 3d6969df
(Unnamed Layer* 1) [Scale]_output: 3ac9c5e4
conv1: 3bb2132a
"""
GRAPH = Graph(
    name_nodes(
        model("""
        g (float[1,4,8,8] data) => (float z) <float[4,4,1,1] w, float[4,8,1,1] v> {
            [first] conv1 = Conv (data, w)
            [cat] both = Concat <axis = 1> (data, conv1)
            [second] z = Conv (both, v)
        }
        """)
    ),
    digest="d",
)


def cache(folder, text, name="calib.cache"):
    (folder / name).write_text(text)
    return calibration_cache.read(folder / name)


def refused(folder, text):
    """The diagnostics of a cache that is not taken."""
    with pytest.raises(OnnxqError) as caught:
        cache(folder, text)
    return caught.value.diagnostics


def test_a_cache_of_tensorrt_is_read(tmp_path):
    found = cache(tmp_path, RESNET)
    assert found.header == "TRT-7000-EntropyCalibration2"
    assert len(found.scales) == 4
    assert found.scales["data"] == np.float32(0.02079247683286667)  # as issue 18 of
    assert found.scales["conv1"] == np.float32(0.005434413440525532)  # rmccorm4/tensorrt-utils has
    assert found.strangers(GRAPH) == tuple(n for n in found.scales if n.startswith("(Unnamed"))


@pytest.mark.parametrize(
    ("line", "name", "scale"),
    [
        ("input_1:0: 3c010a14", "input_1:0", float(np.float32(0.00787593796849251))),
        ("a: b: 3F800000", "a: b", 1.0),
        ("x:3f800000", "x", 1.0),
        ("x: 3f800000  \r", "x", 1.0),
        ("x: 800000", "x", 2.0**-126),  # written without the zeros in front
        ("größe/выход: 3f800000", "größe/выход", 1.0),
        ("a\u2028b: 3f800000", "a\u2028b", 1.0),
    ],
)
def test_forms_of_a_line(tmp_path, line, name, scale):
    assert cache(tmp_path, f"TRT-8XXX-EntropyCalibration2\n{line}\n\n").scales == {name: scale}


@pytest.mark.parametrize(
    ("bits", "shown"),
    [
        ("00000000", "0"),
        ("80000000", "-0"),
        ("bf800000", "-1"),
        ("7f800000", "inf"),
        ("ff800000", "-inf"),
        ("7fc00000", "nan"),
        ("7f7fffff", "3.40282e+38"),  # 127 times that is infinite
    ],
)
def test_scales_that_cannot_be(tmp_path, bits, shown):
    (told,) = refused(tmp_path, f"TRT-8601-EntropyCalibration2\na: 3f800000\n/conv: {bits}\n")
    assert told.code == "OQ451"
    assert told.message == f"the scale of '/conv' is {shown}"
    assert (told.span.line, told.span.source) == (3, f"/conv: {bits}")


def test_every_bad_line_is_told(tmp_path):
    text = "TRT-8601-EntropyCalibration2\nx\ny: 123456789\nz: 0\nz: 3f800000\nz: 3f800000\n: 1\n"
    told = refused(tmp_path, text)
    assert [(d.code, d.span.line) for d in told] == [
        ("OQ450", 2),
        ("OQ450", 3),
        ("OQ451", 4),
        ("OQ450", 6),
        ("OQ450", 7),
    ]


@pytest.mark.parametrize(
    "text", ["", "\n", "x: 3f800000\n", "TRT-8601\nx: 3f800000\n", "TRT-8601-EntropyCalibration2\n"]
)
def test_what_is_no_cache(tmp_path, text):
    assert [d.code for d in refused(tmp_path, text)] == ["OQ450"]


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "engine").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "huge").touch()
    with (tmp_path / "huge").open("r+b") as file:
        file.truncate(1 << 30)
    for name in ("engine", "huge", "missing", "."):
        with pytest.raises(OnnxqError) as caught:
            calibration_cache.read(tmp_path / name)
        assert [d.code for d in caught.value.diagnostics] == ["OQ450"]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_cache_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("c") / "c"
    for head in (b"", b"TRT-1-x\n", b"TRT-1-x\na: "):
        path.write_bytes(head + content)
        try:
            found = calibration_cache.read(path)
        except OnnxqError as refusal:
            codes = {d.code for d in refusal.diagnostics}
        else:
            codes = set()
            assert all(0 < scale < np.inf for scale in found.scales.values())
        assert codes <= {"OQ450", "OQ451"}


amaxes = st.floats(SMALLEST_AMAX, 2.0**127, width=32, exclude_min=True)


@given(st.dictionaries(st.sampled_from(["data", "conv1", "both"]), amaxes, min_size=1))
def test_written_and_imported_scales_are_the_same_bits(tmp_path_factory, ranges):
    path = tmp_path_factory.mktemp("c") / "calib.cache"
    scales = {name: float(scale_of(amax)) for name, amax in ranges.items()}
    calibration_cache.write(path, scales, "TRT-100300-EntropyCalibration2")
    found = calibration_cache.read(path)
    assert dict(found.scales) == scales
    statistics = found.statistics(GRAPH, input_shapes={})
    assert {n: float(scale_of(t.values.amax)) for n, t in statistics.tensors.items()} == scales


@given(st.floats(2.0**-30, 2.0**120, width=32))
def test_any_other_scale_is_kept_to_the_last_bit(tmp_path_factory, scale):
    """Not every float32 is some float32 divided by 127; then the next one is."""
    amax = calibration_cache._amax(scale)
    assert abs(float(scale_of(amax)) - scale) <= np.spacing(np.float32(scale))


def test_the_form_of_what_is_written(tmp_path):
    calibration_cache.write(tmp_path / "c", {"x": 1 / 127, "a:0": 2.0**-126}, "TRT-8601-X")
    assert (tmp_path / "c").read_bytes() == b"TRT-8601-X\nx: 3c010204\na:0: 00800000\n"
    assert struct.unpack(">f", bytes.fromhex("3c010204"))[0] == np.float32(1 / 127)


@pytest.mark.parametrize("name", ["a\nb", "a\r", ""])
def test_names_that_a_line_cannot_hold(tmp_path, name):
    with pytest.raises(OnnxqError) as caught:
        calibration_cache.write(tmp_path / "c", {"x": 1.0, name: 1.0}, "TRT-8601-X")
    assert caught.value.diagnostics[0].code == "OQ455"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("version", "number"),
    [("10.3.0", 100300), ("10.3", 100300), ("10.13.2.6", 101302), ("8.6.1", 8601), ("7.1.3", 7103)],
)
def test_first_lines(version, number):
    assert calibration_cache.header_of(version) == f"TRT-{number}-EntropyCalibration2"


@pytest.mark.parametrize("version", ["11.0", "4.0", "10", "", "ten", "10.3.0x", "-8.6.1"])
def test_versions_that_have_no_calibration(version):
    with pytest.raises(ValueError, match="from 5 to 10"):
        calibration_cache.header_of(version)


def test_no_name_in_common(tmp_path):
    with pytest.raises(OnnxqError) as caught:
        cache(tmp_path, "TRT-8601-X\nx: 3f800000\n").statistics(GRAPH, input_shapes={})
    assert caught.value.diagnostics[0].code == "OQ454"


def imported(folder, **scales):
    lines = (f"{name}: {struct.pack('>f', scale).hex()}\n" for name, scale in scales.items())
    found = cache(folder, "TRT-8601-EntropyCalibration2\n" + "".join(lines))
    return found.statistics(GRAPH, input_shapes={})


CONVS = rule("{op: Conv}", id="convs", quantize="{inputs: other, weights: weight}")
CAT = rule("{op: Concat}", id="cat", share_scale="[inputs, outputs]")


def test_no_method_changes_an_imported_range(tmp_path):
    plan = planned(tmp_path, GRAPH, CONVS)
    assert {p.descriptor.method for p in plan.pairs if p.kind == "activation"} == {"percentile"}
    computed = compute_scales(GRAPH, plan, imported(tmp_path, data=0.25, both=0.5))
    found = {p.tensor: float(computed[p]) for p in plan.pairs if p.kind == "activation"}
    assert found == {"data": 0.25, "both": 0.5}
    assert computed.diagnostics == ()


def test_a_share_group_takes_its_largest_imported_range(tmp_path):
    plan = planned(tmp_path, GRAPH, CONVS, CAT)
    computed = compute_scales(GRAPH, plan, imported(tmp_path, data=0.25, both=0.5, conv1=9))
    found = {p.tensor: float(computed[p]) for p in plan.pairs if p.kind == "activation"}
    assert found == {"data": 0.5, "both": 0.5}  # conv1 has no pair, so it does not count


def test_an_imported_range_of_nothing_is_told(tmp_path):
    plan = planned(tmp_path, GRAPH, CONVS)
    computed = compute_scales(GRAPH, plan, imported(tmp_path, data=1e-30, both=0.5))
    assert [d.code for d in computed.diagnostics] == ["OQ414"]
    assert {float(computed[p]) for p in plan.pairs if p.tensor == "data"} == {1.0}


def test_a_tensor_without_an_entry_is_told(tmp_path):
    with pytest.raises(OnnxqError) as caught:
        compute_scales(GRAPH, planned(tmp_path, GRAPH, CONVS), imported(tmp_path, data=1.0))
    (told,) = caught.value.diagnostics
    assert told.code == "OQ413"
    assert "'both'" in told.message
    assert "imported TensorRT cache" in told.message
    assert "skip it in the recipe" in told.fix


@pytest.mark.parametrize("ends", ["\n", "\r\n", "  \n", "\t\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("digits", [str.lower, str.upper])
def test_what_editors_do_to_a_cache_does_not_matter(tmp_path, ends, mark, digits):
    lines = [digits(line.rpartition(" ")[2]) for line in RESNET.splitlines()[1:]]
    names = [line.rpartition(" ")[0] for line in RESNET.splitlines()[1:]]
    entries = [f"{name} {bits}" for name, bits in zip(names, lines, strict=True)]
    text = ends.join(["TRT-7000-EntropyCalibration2", *entries, "", ""])
    (tmp_path / "edited").write_bytes(mark + text.encode())
    assert calibration_cache.read(tmp_path / "edited").scales == cache(tmp_path, RESNET).scales


@pytest.mark.parametrize("name", ["a: b", ": a", "a : ", "a:b: c", "3f800000: 3f800000"])
def test_colons_in_names_come_back(tmp_path, name):
    calibration_cache.write(tmp_path / "c", {name: 0.5}, "TRT-8601-EntropyCalibration2")
    assert calibration_cache.read(tmp_path / "c").scales == {name: 0.5}


@pytest.mark.parametrize("second", ["3f800000", "40000000"])
def test_a_name_twice_is_refused_with_both_lines(tmp_path, second):
    (found,) = refused(tmp_path, f"{RESNET}conv1: {second}\n")
    assert found.code == "OQ450"
    assert found.message == "'conv1' has a second entry; the first is in line 5"
    assert found.span.line == 6
