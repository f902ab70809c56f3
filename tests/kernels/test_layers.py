import re
from pathlib import Path

import pytest

from onnxq.kernels.layers import TESTED_VERSIONS, LayerTensor, parse_layers
from onnxq.verification import builder
from tests.verification.models import TYPES, VARIED, attention, saved, types, varied

# The messages of TensorRT-RTX 1.7.1.116 on models.varied(), attention(mask=True) and types().
SAMPLES = Path(__file__).parent / "layers_1.7"
TEXT, ATTENTION, OF_TYPES = (
    (SAMPLES / f"{name}.txt").read_bytes().decode() for name in ("varied", "attention", "types")
)


@pytest.mark.parametrize(
    ("make", "text", "targets"),
    [
        (varied, TEXT, ()),
        (lambda: attention(mask=True), ATTENTION, ()),
        (types, OF_TYPES, ((8, 9),)),
    ],
    ids=["varied", "attention", "types"],
)
def test_the_samples_are_what_a_tested_compiler_says(make, text, targets, tmp_path):
    """A compiler that says something else shows here first; look at what it means."""
    job = {"model": str(saved(make(), tmp_path)), "profiles": {}, "targets": targets}
    built = builder.build(job, 300)
    assert built["version"].startswith(TESTED_VERSIONS)
    assert _lasting(built["layers"]) == _lasting(text)


def _lasting(text):
    """A message without the numbers that differ between builds of other weights."""
    return re.sub(r"__mye\d+|0x[0-9a-f]+|_dconst|_const|-lit-in", "", text.strip())


def with_line(node, change):
    """The text with the first product layer that names the node changed."""
    lines = TEXT.split("\n")
    index = next(i for i, line in enumerate(lines) if f"[ONNX Layer: {node}]" in line)
    lines[index] = change(lines[index])
    return "\n".join(lines)


def test_every_line_of_a_real_list_is_read():
    found = parse_layers(TEXT)
    assert found.unreadable == 0
    assert len(found.layers) == TEXT.partition("\n\n")[0].count("LayerType") == 19
    kinds = {layer.kind for layer in found.layers}
    assert kinds == {"kgen", "correlation", "maxpool", "deconv", "runtime_fusion", "gemm"}


def test_a_layer_has_its_tensors_and_nodes():
    layer = next(x for x in parse_layers(TEXT).layers if "int8_left" in x.nodes)
    assert layer.kind == "correlation"
    assert [(t.dims, t.dtype) for t in layer.inputs] == [((1, 4, 8, 8), "Int8")]
    assert [(t.dims, t.dtype) for t in layer.constants] == [
        ((8, 4, 3, 3), "Int8"),
        ((1, 8, 1, 1), "Float"),
        ((1, 8, 1, 1), "Float"),
    ]
    assert layer.nodes[0] == "int8_left"
    assert len(layer.nodes) == 4


def test_a_name_of_a_rewriting_behind_the_nodes():
    """As TensorRT-RTX 1.7 lists the 1x1 Convs that it computes as Gemm, in half precision."""
    text = with_line("int8_left", lambda line: f"{line}__gemm_from_conv1x1")
    assert parse_layers(text) == parse_layers(TEXT)


def test_dynamic_dimensions_are_minus_one():
    text = TEXT.replace("Dimensions: [1,4,8,8]", "Dimensions: [-1,4,-1,-1]")
    found = parse_layers(text)
    assert found.unreadable == 0
    assert found.layers[0].inputs == (LayerTensor(name="x", dims=(-1, 4, -1, -1), dtype="Float"),)


def test_the_precision_of_real_layers():
    found = parse_layers(TEXT)
    assert {node: found.precision(node) for node in VARIED} == VARIED


def test_types_are_told_apart():
    found = parse_layers(OF_TYPES)
    assert {node: found.precision(node) for node in TYPES} == TYPES
    assert {node: found.computed(node).dtype for node in TYPES} == {n: n for n in TYPES}
    assert [x.name for x in found.computed("int8").layers] == ["int8_myl0_1"]


def test_fused_attention():
    found = parse_layers(ATTENTION)
    for node in ("scores", "mixed"):
        computed = found.computed(node)
        assert (computed.precision, computed.dtype) == ("int8", "int8")
        assert [x.name for x in computed.layers] == ["_gemm_mha_v2_myl0_1"]


@pytest.mark.parametrize(
    ("change", "precision"),
    [
        (lambda line: line.replace("Int8", "Half"), "float"),
        (lambda line: line.replace("Int8", "FP8"), "fp8"),
        (lambda line: line.replace("Int8", "Float", 1), "unknown"),
        (lambda line: line.replace("Int8", "FP8", 1), "unknown"),
        (lambda line: "Float".join(line.rsplit("Int8", 1)), "unknown"),
        (lambda line: line.replace("_gemm_mha_v2", "_gemm_mha_v3"), "unknown"),
    ],
)
def test_fused_attention_that_was_never_seen_is_unknown(change, precision):
    lines = [change(x) if "_gemm_mha_v2" in x else x for x in ATTENTION.split("\n")]
    assert parse_layers("\n".join(lines)).precision("scores") == precision


@pytest.mark.parametrize(
    ("old", "new", "precision"),
    [
        ("__myl_CastMulCastCastMulFc", "__myl_Fc", "unknown"),
        ("Datatype: Int8", "Datatype: Half", "float"),
        ("runtime_fusion", "some_fusion", "unknown"),
    ],
)
def test_a_runtime_fusion_is_float_where_it_is_seen_to_cast(old, new, precision):
    text = with_line("axis_0", lambda line: line.replace(old, new))
    assert parse_layers(text).precision("axis_0") == precision


def test_a_node_that_no_layer_names_is_unknown():
    assert parse_layers(TEXT).precision("elsewhere") == "unknown"


@pytest.mark.parametrize("text", ["", "Layers:", "Layers:\n", '{"Layers": []}', "Graph:\n" + TEXT])
def test_other_text_tells_nothing(text):
    found = parse_layers(text)
    assert found.layers == ()
    assert {found.precision(node) for node in VARIED} == {"unknown"}


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace("LayerType", "Kind"),
        lambda line: line.replace("Datatype", "Type", 1),
        lambda line: line.replace("Dimensions: [", "Dimensions: [x", 1),
        lambda line: line.replace("[ONNX Layer: ", "[Onnx: ", 1),
        lambda line: line[: len(line) // 2],
    ],
)
@pytest.mark.parametrize("node", ["int8_left", "weights_only", "deconv", "axis_0"])
def test_a_line_of_another_format_is_counted_not_guessed(node, change):
    found = parse_layers(with_line(node, change))
    assert found.unreadable == 1
    assert found.precision(node) == "unknown"


def test_a_float_input_or_a_float_weight_is_float():
    for dims in ("[1,4,8,8]", "[8,4,3,3]"):
        swap = f"Dimensions: {dims}"
        text = with_line(
            "int8_left",
            lambda line, swap=swap: (
                line.replace("Int8", "Float", 1)
                if "[1,4" in swap
                else "Float".join(line.rsplit("Int8", 1))
            ),
        )
        assert parse_layers(text).precision("int8_left") == "float"


def test_one_float_kernel_among_int8_ones_is_float():
    lines = TEXT.split("\n")
    line = next(x for x in lines if "[ONNX Layer: int8_left]" in x)
    text = "\n".join([lines[0], line.replace("Int8", "Half"), *lines[1:]])
    assert parse_layers(text).precision("int8_left") == "float"


def test_a_product_in_a_generated_kernel_is_float_only_without_any_int8():
    as_kernel = with_line("int8_left", lambda x: x.replace("correlation", "kgen"))
    assert parse_layers(as_kernel).precision("int8_left") == "unknown"
    in_float = with_line(
        "int8_left", lambda x: x.replace("correlation", "kgen").replace("Int8", "Float")
    )
    assert parse_layers(in_float).precision("int8_left") == "float"


def test_an_int8_deconv_which_was_never_seen_is_unknown():
    text = with_line("deconv", lambda line: line.replace("Datatype: Float", "Datatype: Int8"))
    assert parse_layers(text).precision("deconv") == "unknown"


def test_no_cut_of_the_text_makes_a_wrong_claim():
    for end in range(0, len(TEXT), 37):
        found = parse_layers(TEXT[:end])
        for node, truth in VARIED.items():
            assert found.precision(node) in (truth, "unknown")
