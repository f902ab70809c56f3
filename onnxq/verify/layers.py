"""Reads the layer list that the TensorRT-RTX builder logs.

The text is not documented: one line a layer, `Name: .., LayerType: .., Inputs: [ { .. } ], ..`. A
line that does not look like that is counted, never guessed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

Precision = Literal["int8", "float", "unknown"]
HEADER: Final = "Layers:"

_LINE: Final = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], "
    r"Constants: \[(?P<constants>.*?)\], Outputs: \[(?P<outputs>.*?)\], "
    r"TacticName: .*?Metadata: ?(?P<nodes>.*)"
)
_TENSOR: Final = re.compile(
    r"\{ Name: (?P<name>.*?), Dimensions: \[(?P<dims>[-\d,]*)\], .*?Datatype: (?P<dtype>\w+),"
)
_NODE: Final = re.compile(r"\[ONNX Layer: (.*)\]", re.DOTALL)
_NODE_SEPARATOR: Final = "\x1f"

_INT8_KERNELS: Final = frozenset({"correlation", "gemm"})
# A runtime_fusion may read int8 and still dequantize the weights inside; a deconv was never int8.
_FLOAT_KERNELS: Final = frozenset({"runtime_fusion"})
_KERNELS: Final = _INT8_KERNELS | _FLOAT_KERNELS | {"deconv"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTensor:
    """One tensor of an engine layer; a dynamic dimension is -1, `dtype` is 'Int8', 'Float', .."""

    name: str
    dims: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One engine layer, and the names of the ONNX nodes it was made from."""

    name: str
    kind: str
    inputs: tuple[LayerTensor, ...]
    constants: tuple[LayerTensor, ...]
    outputs: tuple[LayerTensor, ...]
    nodes: tuple[str, ...]

    @property
    def _operands(self) -> tuple[LayerTensor, ...]:
        """Inputs and weights, without the vectors of scales beside int8 weights."""
        activations = len(self.inputs)
        weights = [c for c in self.constants if c.dtype == "Int8"] or list(self.constants)
        return self.inputs if activations > 1 else (*self.inputs, *weights)

    @property
    def is_int8(self) -> bool:
        """True when every activation and every weight that the layer reads is int8."""
        kinds = [t.dtype for t in self._operands]
        return bool(self.inputs) and len(kinds) > 1 and all(k == "Int8" for k in kinds)

    @property
    def reads_int8(self) -> bool:
        """True when any input or constant is int8."""
        return any(t.dtype == "Int8" for t in (*self.inputs, *self.constants))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerList:
    """The layers of an engine; `unreadable` counts lines that could not be understood."""

    layers: tuple[Layer, ...]
    unreadable: int

    def precision(self, node: str) -> Precision:
        """How the engine computes a weighted ONNX node; 'unknown' where the list does not tell."""
        citing = [layer for layer in self.layers if node in layer.nodes]
        kernels = [layer for layer in citing if layer.kind in _KERNELS]
        if not kernels:
            # Small products become generated kernels; those without any int8 are surely float.
            sure = citing and not any(layer.reads_int8 for layer in citing)
            return "float" if sure and not self.unreadable else "unknown"
        int8 = [layer for layer in kernels if layer.is_int8 and layer.kind not in _FLOAT_KERNELS]
        if len(int8) < len(kernels):
            return "float"
        return "int8" if all(layer.kind in _INT8_KERNELS for layer in int8) else "unknown"


def parse_layers(text: str) -> LayerList:
    """Read the builder's message that begins with `Layers:`; any other text gives no layers."""
    first, _, rest = text.partition("\n")
    if first.strip() != HEADER:
        return LayerList(layers=(), unreadable=len(text.split("\n")))
    lines = rest.partition("\n\n")[0].split("\n")
    found = [_layer(line) for line in lines if line.strip()]
    layers = tuple(layer for layer in found if layer is not None)
    return LayerList(layers=layers, unreadable=len(found) - len(layers))


def _layer(line: str) -> Layer | None:
    match = _LINE.fullmatch(line.strip(" \r"))
    if match is None:
        return None
    tensors = [_tensors(match[part]) for part in ("inputs", "constants", "outputs")]
    nodes = _nodes(match["nodes"])
    if nodes is None or any(t is None for t in tensors):
        return None
    inputs, constants, outputs = (t or () for t in tensors)
    return Layer(
        name=match["name"],
        kind=match["kind"],
        inputs=inputs,
        constants=constants,
        outputs=outputs,
        nodes=nodes,
    )


def _tensors(text: str) -> tuple[LayerTensor, ...] | None:
    found = tuple(
        LayerTensor(
            name=m["name"],
            dims=tuple(int(d) for d in m["dims"].split(",") if d),
            dtype=m["dtype"],
        )
        for m in _TENSOR.finditer(text)
    )
    return found if len(found) == text.count("{ ") else None


def _nodes(text: str) -> tuple[str, ...] | None:
    if not text:
        return ()
    matches = [_NODE.fullmatch(item) for item in text.split(_NODE_SEPARATOR)]
    return tuple(m[1] for m in matches if m) if all(matches) else None
