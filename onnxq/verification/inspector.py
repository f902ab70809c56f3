"""Reads what TensorRT's engine inspector says of an engine, as JSON.

Its fields differ by version, and it leaves out much. TensorRT 11 lists inputs, constants and
outputs of a layer as TensorRT-RTX does. Before that a convolution has the type of its weights, and
of other products those are not told. What a layer multiplies is taken from what it says alone:
where that is not the type of the data and of the weights, it is not known. That was checked with
engines of TensorRT 8 only (the examples of NVIDIA's trt-engine-explorer) and with no newer one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from onnxq.verification.layers import PRODUCT, Layer, LayerList, LayerTensor

_CONVOLUTIONS: Final = frozenset(
    {"CaskConvolution", "ConvActPool", "CublasConvolution", "CudaDepthwiseConvolution"}
)
_TYPES: Final[Mapping[str, str]] = {
    "BF16": "BFloat16",
    "BFloat16": "BFloat16",
    "FP16": "Half",
    "FP32": "Float",
    "FP8": "FP8",
    "Float": "Float",
    "Half": "Half",
    "INT4": "Int4",
    "INT8": "Int8",
    "Int32": "Int32",
    "Int4": "Int4",
    "Int64": "Int64",
    "Int8": "Int8",
}
_TYPE: Final = re.compile(rf"\b({'|'.join(_TYPES)})\b")
_NODE: Final = re.compile(r"\[ONNX Layer: (.*?)\](?=\[ONNX Layer: |[\x1e\x1f]|\s*$)", re.DOTALL)
_COPY: Final = "REFORMAT"  # the origin of layers that are named after others


def parse_inspector(text: str) -> LayerList:
    """Read the information on an engine; what is not of the known form counts as unreadable.

    Layers that are no products do not show all that they read, so nothing is concluded from them.
    """
    try:
        found = json.loads(text)["Layers"]
        entries = list(found) if isinstance(found, list) else [found]
    except (ValueError, KeyError, TypeError):
        return LayerList(layers=(), unreadable=1, is_whole=False)
    layers = [_layer(entry) for entry in entries]
    known = tuple(layer for layer in layers if layer is not None)
    return LayerList(layers=known, unreadable=len(layers) - len(known), is_whole=False)


def _layer(entry: Any) -> Layer | None:
    try:
        inputs, outputs = (tuple(map(_tensor, entry[k])) for k in ("Inputs", "Outputs"))
        listed = "Constants" in entry
        constants = tuple(map(_tensor, entry.get("Constants", ())))
        kind = str(entry["LayerType"])
        if kind in _CONVOLUTIONS and not listed:
            kind, inputs, constants = _convolution(entry, inputs)
        elif not listed:
            kind = f"{kind} without constants"
        return Layer(
            name=str(entry["Name"]),
            kind=kind,
            inputs=inputs,
            constants=constants,
            outputs=outputs,
            nodes=tuple(_nodes(entry)),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _convolution(
    entry: Mapping[str, Any], inputs: tuple[LayerTensor, ...]
) -> tuple[str, tuple[LayerTensor, ...], tuple[LayerTensor, ...]]:
    """A Conv with the type of its weights. What it reads beside its data it adds to the result."""
    told = entry.get("Weights") or entry["ConvWeights"]
    weights = LayerTensor(name="weights", dims=(int(told["Count"]),), dtype=_type(told["Type"]))
    data = inputs[:1]
    same = [t.dtype for t in data] == [weights.dtype]
    return ("correlation" if same else PRODUCT), data, (weights,)


def _tensor(entry: Mapping[str, Any]) -> LayerTensor:
    told = entry.get("Datatype") or entry["Format/Datatype"]
    dims = tuple(int(d) for d in entry["Dimensions"])
    return LayerTensor(name=str(entry["Name"]), dims=dims, dtype=_type(told))


def _type(text: str) -> str:
    """The type in a text such as 'Row major linear FP16 format'; '?' for none, or for several."""
    found = {_TYPES[word] for word in _TYPE.findall(text)}
    return found.pop() if len(found) == 1 else "?"


def _nodes(entry: Mapping[str, Any]) -> Iterator[str]:
    """ONNX nodes: the metadata names them, before TensorRT 8.6 the name of the layer."""
    if entry.get("Metadata"):
        yield from _NODE.findall(entry["Metadata"])
    elif "Metadata" not in entry and entry.get("Origin") != _COPY:
        yield from entry["Name"].split(" + ")
