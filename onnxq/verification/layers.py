"""Reads the layer list that the TensorRT-RTX builder logs.

The text is not documented: one line a layer, `Name: .., LayerType: .., Inputs: [ { .. } ], ..`. A
line that does not look like that is counted, never guessed at. What the lines mean was seen in
builds of the versions in TESTED_VERSIONS; tests keep real texts and what they say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

Precision = Literal["int8", "fp8", "int4", "float", "unknown"]
HEADER: Final = "Layers:"
TESTED_VERSIONS: Final = ("1.7",)  # of TensorRT-RTX, major and minor

_LINE: Final = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], "
    r"Constants: \[(?P<constants>.*?)\], Outputs: \[(?P<outputs>.*?)\], "
    r"TacticName: .*?Metadata: ?(?P<nodes>.*)"
)
_TENSOR: Final = re.compile(
    r"\{ Name: (?P<name>.*?), Dimensions: \[(?P<dims>[-\d,]*)\], .*?Datatype: (?P<dtype>\w+),"
)
_NODE: Final = re.compile(r"\[ONNX Layer: (.*)\]", re.DOTALL)
# A node of a branch: 'name | graph (then_branch) | name of the If (If)'.
_IN_BRANCH: Final = re.compile(r" \| .*\((then|else)_branch\) \| .* \(If\)$", re.DOTALL)
_NODE_SEPARATOR: Final = "\x1f"

_QUANTIZED: Final[Mapping[str, Precision]] = {"Int8": "int8", "FP8": "fp8"}
_INT4: Final = "Int4"
_FLOATS: Final = {"Float": "fp32", "Half": "fp16", "BFloat16": "bf16"}
_INDICES: Final = frozenset({"Int64", "Int32", "Bool"})

PRODUCT: Final = "product"  # a kernel of which only that is known
_PLAIN_KERNELS: Final = frozenset({"correlation", "gemm"})
_KERNELS: Final = _PLAIN_KERNELS | {"runtime_fusion", "deconv", PRODUCT}
# One generated kernel for softmax(Q K) V. Seen only where all of it is quantized, the output too.
_ATTENTION: Final = "_gemm_mha_v2"


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
    def is_attention(self) -> bool:
        """True for the fused kernel of both products of attention and the Softmax between them."""
        return self.kind == "kgen" and self.name.startswith(_ATTENTION)

    @property
    def is_product(self) -> bool:
        """True for a kernel that is there for a matrix product."""
        return self.kind in _KERNELS or self.is_attention

    @property
    def precision(self) -> Precision:
        """What a product kernel multiplies; 'unknown' where that was never seen.

        'int4' are weights that it reads so, and multiplies with floats.
        """
        if self.is_attention:
            return self._attention_precision()
        if self.kind == PRODUCT:
            return "unknown"
        read = {t.dtype for t in self._operands}
        if read and read <= _FLOATS.keys():
            return "float"
        if self.kind == "runtime_fusion":
            if any(t.dtype == _INT4 for t in self.constants) and {t.dtype for t in self.inputs} <= (
                _FLOATS.keys()
            ):
                return "int4"
            # Seen with int8 inputs only where it casts them to float before the product.
            return "float" if "CastMul" in self.name else "unknown"
        if self.kind not in _PLAIN_KERNELS:
            return "unknown"  # a deconv was never seen with int8
        if len(read) == 1 and self.inputs and len(self._operands) > 1:
            return _QUANTIZED.get(read.pop(), "unknown")
        return "float" if read & _FLOATS.keys() else "unknown"

    def _attention_precision(self) -> Precision:
        read, written = [t.dtype for t in self.inputs], {t.dtype for t in self.outputs}
        matrices = [dtype for dtype in read if dtype not in _FLOATS]  # a mask is float
        if not matrices and written <= _FLOATS.keys():
            return "float"
        if len(matrices) == 3 and written == set(matrices):
            return _QUANTIZED.get(matrices[0], "unknown")
        return "unknown"

    @property
    def _operands(self) -> tuple[LayerTensor, ...]:
        """Inputs and weights, without the vectors of scales beside quantized weights."""
        weights = [c for c in self.constants if c.dtype in _QUANTIZED] or list(self.constants)
        return self.inputs if len(self.inputs) > 1 else (*self.inputs, *weights)

    @property
    def reads_quantized(self) -> bool:
        """True when any input or constant is neither of a floating-point type nor an index."""
        read = {t.dtype for t in (*self.inputs, *self.constants)}
        return bool(read - _FLOATS.keys() - _INDICES)

    @property
    def dtype(self) -> str:
        """The one floating-point type it reads, else writes: 'fp32', 'fp16', 'bf16'; '' if many."""
        for side in (self.inputs, self.outputs):
            found = {_FLOATS[t.dtype] for t in side if t.dtype in _FLOATS}
            if found:
                return found.pop() if len(found) == 1 else ""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """How an engine computes an ONNX node, and the layers that do.

    `dtype` is 'int8', 'fp8', 'int4', 'fp32', 'fp16' or 'bf16'; '' where the layers do not tell.
    """

    precision: Precision
    dtype: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True, kw_only=True)
class LayerList:
    """The layers of an engine; `unreadable` counts lines that could not be understood.

    The list `is_whole` when a layer shows everything that it reads.
    """

    layers: tuple[Layer, ...]
    unreadable: int
    is_whole: bool = True

    @cached_property
    def _citing(self) -> Mapping[str, tuple[Layer, ...]]:
        found: dict[str, list[Layer]] = {}
        for layer in self.layers:
            for node in dict.fromkeys(layer.nodes):
                found.setdefault(node, []).append(layer)
        return {node: tuple(layers) for node, layers in found.items()}

    def precision(self, node: str) -> Precision:
        """How the engine computes a weighted ONNX node; 'unknown' where the list does not tell."""
        return self.computed(node).precision

    def computed(self, node: str) -> Computed:
        """How the engine computes a weighted ONNX node, and which layers do."""
        citing = self._citing.get(node, ())
        kernels = tuple(layer for layer in citing if layer.is_product)
        if kernels:
            return _computed(_worst(layer.precision for layer in kernels), kernels)
        # Small products become generated kernels; those without any int8 are surely float.
        sure = citing and self.is_whole and not self.unreadable
        sure = sure and not any(layer.reads_quantized for layer in citing)
        return _computed("float" if sure else "unknown", citing)


def _worst(found: Iterable[Precision]) -> Precision:
    """Of kernels that compute one op: 'float' when one is, else what all of them are."""
    kinds = set(found)
    if "float" in kinds:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "unknown"


def _computed(precision: Precision, layers: tuple[Layer, ...]) -> Computed:
    floats = {layer.dtype for layer in layers}
    in_float = floats.pop() if len(floats) == 1 else ""
    dtype = {"float": in_float, "unknown": ""}.get(precision, precision)
    return Computed(precision=precision, dtype=dtype, layers=layers)


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
    return tuple(_IN_BRANCH.sub("", m[1]) for m in matches if m) if all(matches) else None
