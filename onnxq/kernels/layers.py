"""Reads the layer list that the TensorRT-RTX builder logs.

The text is not documented: one line per layer, `Name: .., LayerType: .., Inputs: [ { .. } ], ..`.
Lines of another form are counted as unreadable. The meaning of the lines was determined from builds
with the versions in TESTED_VERSIONS; the tests have real texts and their meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from onnxq.kernels.generated import product_type

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
# A name of the compiler's rewriting may follow, such as __gemm_from_conv1x1.
_NODE: Final = re.compile(r"\[ONNX Layer: (.*)\](?:__\w+)?", re.DOTALL)
# A node of a branch: 'name | graph (then_branch) | name of the If (If)'.
_IN_BRANCH: Final = re.compile(r" \| .*\((then|else)_branch\) \| .* \(If\)$", re.DOTALL)
_NODE_SEPARATOR: Final = "\x1f"

_QUANTIZED: Final[Mapping[str, Precision]] = {"Int8": "int8", "FP8": "fp8"}
_INT4: Final = "Int4"
_FLOATS: Final = {"Float": "fp32", "Half": "fp16", "BFloat16": "bf16"}
_INDICES: Final = frozenset({"Int64", "Int32", "Bool"})

PRODUCT: Final = "product"  # a product of unknown kind and precision
_PLAIN_KERNELS: Final = frozenset({"correlation", "gemm"})
_KERNELS: Final = _PLAIN_KERNELS | {"runtime_fusion", "deconv", PRODUCT}
# One generated kernel for softmax(Q K) V. In INT8 all of it is quantized, the output too; that of
# the first version replaces NaN of rows without a key too, and was seen in float only.
_ATTENTION: Final = ("_gemm_mha_v1", "_gemm_mha_v2")


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
        """True for a kernel that computes a product."""
        return self.kind in _KERNELS or self.is_attention

    @property
    def generated_product(self) -> Literal["int8", "float", ""]:
        """How a generated kernel multiplies, if its name tells."""
        types = ([t.dtype for t in side] for side in (self.inputs, self.constants))
        return product_type(self.name, *types) if self.kind == "kgen" else ""

    @property
    def precision(self) -> Precision:
        """The type that a product kernel multiplies; 'unknown' for a form that no tested build had.

        'int4' is for a kernel that reads INT4 weights and multiplies floats.
        """
        if self.is_attention:
            return self._attention_precision()
        if self.kind == PRODUCT:
            return "unknown"
        types = {t.dtype for t in self._operands}
        if types and types <= _FLOATS.keys():
            return "float"
        if self.kind == "runtime_fusion":
            if any(t.dtype == _INT4 for t in self.constants) and {t.dtype for t in self.inputs} <= (
                _FLOATS.keys()
            ):
                return "int4"
            # In tested builds it reads int8 only when it casts it to float before the product.
            return "float" if "CastMul" in self.name else "unknown"
        if self.kind not in _PLAIN_KERNELS:
            return "unknown"  # no tested build had a deconv with int8
        if len(types) == 1 and self.inputs and len(self._operands) > 1:
            return _QUANTIZED.get(types.pop(), "unknown")
        return "float" if types & _FLOATS.keys() else "unknown"

    def _attention_precision(self) -> Precision:
        written = {t.dtype for t in self.outputs}
        matrices = [t.dtype for t in self.inputs if t.dtype not in _FLOATS]  # a mask is float
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
        types = {t.dtype for t in (*self.inputs, *self.constants)}
        return bool(types - _FLOATS.keys() - _INDICES)

    @property
    def dtype(self) -> str:
        """The floating-point type that it reads, else writes, such as 'fp16'; '' for several.

        The mask that a kernel of attention reads may be of another type than the matrices, which
        have that of the result.
        """
        sides = (self.outputs,) if self.is_attention else (self.inputs, self.outputs)
        for side in sides:
            floats = {_FLOATS[t.dtype] for t in side if t.dtype in _FLOATS}
            if floats:
                return floats.pop() if len(floats) == 1 else ""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """How an engine computes an ONNX node, and the layers that compute it.

    `dtype` is 'int8', 'fp8', 'int4', 'fp32', 'fp16' or 'bf16'; '' when the layers do not show it.
    """

    precision: Precision
    dtype: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True, kw_only=True)
class LayerList:
    """The layers of an engine; `unreadable` counts lines that could not be understood.

    `is_whole` is True when every layer lists all that it reads.
    """

    layers: tuple[Layer, ...]
    unreadable: int
    is_whole: bool = True

    @cached_property
    def _citing(self) -> Mapping[str, tuple[Layer, ...]]:
        citing: dict[str, list[Layer]] = {}
        for layer in self.layers:
            for node in dict.fromkeys(layer.nodes):
                citing.setdefault(node, []).append(layer)
        return {node: tuple(layers) for node, layers in citing.items()}

    def precision(self, node: str) -> Precision:
        """How the engine computes a weighted ONNX node; 'unknown' when no layer shows it."""
        return self.computed(node).precision

    def computed(self, node: str) -> Computed:
        """How the engine computes a weighted ONNX node, and which layers compute it."""
        citing = self._citing.get(node, ())
        kernels = tuple(layer for layer in citing if layer.is_product)
        if kernels:
            return _computed(_worst(layer.precision for layer in kernels), kernels)
        product_types = {layer.generated_product for layer in citing} - {""}
        if len(product_types) == 1:
            (kind,) = product_types
            return _computed("int8" if kind == "int8" else "float", citing)
        # Small products become generated kernels; a kernel without any int8 computes in float.
        sure = citing and self.is_whole and not self.unreadable
        sure = sure and not any(layer.reads_quantized for layer in citing)
        return _computed("float" if sure else "unknown", citing)


def _worst(precisions: Iterable[Precision]) -> Precision:
    """'float' when one kernel of an op is float, else the precision that all kernels have."""
    different = set(precisions)
    if "float" in different:
        return "float"
    return different.pop() if len(different) == 1 else "unknown"


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
    entries = [_layer(line) for line in lines if line.strip()]
    layers = tuple(layer for layer in entries if layer is not None)
    return LayerList(layers=layers, unreadable=len(entries) - len(layers))


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
    tensors = tuple(
        LayerTensor(
            name=m["name"],
            dims=tuple(int(d) for d in m["dims"].split(",") if d),
            dtype=m["dtype"],
        )
        for m in _TENSOR.finditer(text)
    )
    return tensors if len(tensors) == text.count("{ ") else None


def _nodes(text: str) -> tuple[str, ...] | None:
    if not text:
        return ()
    matches = [_NODE.fullmatch(item) for item in text.split(_NODE_SEPARATOR)]
    return tuple(_IN_BRANCH.sub("", m[1]) for m in matches if m) if all(matches) else None
