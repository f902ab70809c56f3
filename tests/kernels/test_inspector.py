"""TensorRT's engine inspector as JSON. These texts are written after the fields that it has in the
examples of NVIDIA's trt-engine-explorer (8), in NVIDIA's issues (10) and in its documentation of
11; no TensorRT was at hand. So the tests ask above all that nothing unknown becomes a claim."""

import json

import pytest

from onnxq.kernels.inspector import parse_inspector
from onnxq.verification.tensorrt import read_layers

INT8 = "Thirty-two wide channel vectorized row major Int8 format"
FP16 = "Channel major FP16 format where channel % 8 == 0"
FP32 = "Row major linear FP32"


def tensor(told, name="t"):
    return {"Name": name, "Location": "Device", "Dimensions": [1, 8, 4, 4], "Format/Datatype": told}


def conv(data=INT8, weights="Int8", *, kind="CaskConvolution", name="w + conv + relu", **more):
    """A convolution as TensorRT 8 and 10 tell of it; the second input is a residual."""
    return {
        "Name": name,
        "LayerType": kind,
        "Inputs": [tensor(data), tensor(FP16, "residual")],
        "Outputs": [tensor(FP16)],
        "ParameterType": "Convolution",
        "Weights": {"Type": weights, "Count": 864},
        **more,
    }


def gemm(data="Int8", weights=None, kind="gemm"):
    """A product of TensorRT 11, which has constants and a type of its own; or of 10, without."""
    first = {"Name": "a", "Dimensions": [4, 64], "Datatype": data, "Format": "Row major"}
    layer = {
        "Name": "mm_myl0_1",
        "LayerType": kind,
        "Inputs": [first],
        "Outputs": [first],
        "TacticName": "some",
        "Metadata": "[ONNX Layer: mm]\x1e[ONNX Layer: odd [0] name]",
    }
    if weights is not None:
        layer["Constants"] = [{**first, "Name": "w", "Datatype": weights}]
    return layer


def found(*layers, node="conv"):
    return parse_inspector(json.dumps({"Layers": list(layers), "Bindings": ["x"]})).computed(node)


@pytest.mark.parametrize(
    ("layer", "precision", "dtype"),
    [
        (conv(), "int8", "int8"),
        (conv(kind="CudaDepthwiseConvolution"), "int8", "int8"),
        (conv(FP16, "Half"), "float", "fp16"),
        (conv(FP32, "Float"), "float", "fp32"),
        (conv(FP32, "Int8"), "unknown", ""),
        (conv(INT8, "Half"), "unknown", ""),
        (conv("Something new"), "unknown", ""),
        (conv("Int8 or FP16"), "unknown", ""),
        (conv(kind="FusedConvActConvolution"), "unknown", ""),
        (conv(kind="Reformat"), "unknown", ""),
        (conv(FP32, "Float", name="Reformatting CopyNode for x to w + conv", Origin="REFORMAT"),
         "unknown", ""),
    ],
)  # fmt: skip
def test_convolutions(layer, precision, dtype):
    computed = found(layer)
    assert (computed.precision, computed.dtype) == (precision, dtype)


@pytest.mark.parametrize(
    ("layer", "precision"),
    [
        (gemm("Int8", "Int8"), "int8"),
        (gemm("FP8", "FP8"), "fp8"),
        (gemm("Half", "Half"), "float"),
        (gemm("Int8", "Half"), "float"),
        (gemm("Int8", "Int8", kind="fusion"), "unknown"),
        (gemm("Int8"), "unknown"),
        (gemm("Half"), "unknown"),  # the weights are not told, and may be quantized inside
        (gemm("Float", kind="kgen"), "unknown"),
        (gemm("Float", kind="{ForeignNode[a...b]}"), "unknown"),
    ],
)
def test_products(layer, precision):
    assert found(layer, node="mm").precision == precision
    assert [x.name for x in found(layer, node="odd [0] name").layers] == ["mm_myl0_1"]


@pytest.mark.parametrize(
    "layer", ["mm", {}, {**gemm(), "Inputs": 1}, {**conv(), "Weights": 0}, None]
)
def test_a_layer_of_another_form_is_unreadable(layer):
    whole = parse_inspector(json.dumps({"Layers": [layer, gemm("Int8", "Int8")]}))
    assert (len(whole.layers), whole.unreadable) == (1, 1)
    assert whole.precision("conv") == "unknown"


@pytest.mark.parametrize("text", ["{", "{}", '{"Layers": 3}', "[]", "", "Layers:", "nothing known"])
def test_unknown_text_gives_no_claim(text):
    assert read_layers(text).precision("conv") == "unknown"
