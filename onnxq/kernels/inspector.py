"""Reads the JSON of TensorRT's engine inspector.

Its fields differ by version, and many are missing. TensorRT 11 lists inputs, constants and outputs
of a layer as TensorRT-RTX does. Earlier versions list the type of the weights for convolutions, and
not for other products. The precision of a layer is 'unknown' unless the JSON has the types of its
data and of its weights. This was checked with engines of TensorRT 8 only (the examples of NVIDIA's
trt-engine-explorer).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from onnxq.kernels.layers import PRODUCT, Layer, LayerList, LayerTensor

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
    """Read the layers of an engine; an entry of another form counts as unreadable.

    Layers other than products do not list all that they read, so their precision stays unknown.
    """
    try:
        listed = json.loads(text)["Layers"]
        entries = list(listed) if isinstance(listed, list) else [listed]
    except (ValueError, KeyError, TypeError):
        return LayerList(layers=(), unreadable=1, is_whole=False)
    layers = [_layer(entry) for entry in entries]
    readable = tuple(layer for layer in layers if layer is not None)
    unreadable = len(layers) - len(readable)
    return LayerList(layers=readable, unreadable=unreadable, is_whole=False)


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
    """A Conv with the type of its weights. It adds further inputs to the result."""
    stored = entry.get("Weights") or entry["ConvWeights"]
    weights = LayerTensor(name="weights", dims=(int(stored["Count"]),), dtype=_type(stored["Type"]))
    data = inputs[:1]
    same = [t.dtype for t in data] == [weights.dtype]
    return ("correlation" if same else PRODUCT), data, (weights,)


def _tensor(entry: Mapping[str, Any]) -> LayerTensor:
    dtype = _type(entry.get("Datatype") or entry["Format/Datatype"])
    dims = tuple(int(d) for d in entry["Dimensions"])
    return LayerTensor(name=str(entry["Name"]), dims=dims, dtype=dtype)


def _type(text: str) -> str:
    """The type in a text such as 'Row major linear FP16 format'; '?' for none, or for several."""
    types = {_TYPES[word] for word in _TYPE.findall(text)}
    return types.pop() if len(types) == 1 else "?"


def _nodes(entry: Mapping[str, Any]) -> Iterator[str]:
    """ONNX nodes, from the metadata or, before TensorRT 8.6, from the name of the layer."""
    if entry.get("Metadata"):
        yield from _NODE.findall(entry["Metadata"])
    elif "Metadata" not in entry and entry.get("Origin") != _COPY:
        yield from entry["Name"].split(" + ")
