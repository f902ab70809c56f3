"""Kernels of an engine that only convert: the cost of quantization beside the products.

The name of a generated kernel (`generated`) and the ONNX nodes that the kernel cites show what it
does. A kernel that may be a conversion but whose name does not show it
counts as unclear.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from onnxq.kernels.generated import CUT, MOVES, operations
from onnxq.kernels.layers import Layer, LayerList
from onnxq.linting.qdq import QdqModel
from onnxq.model.ops import TRAITS, WEIGHTED
from onnxq.model.pairs import DEQUANTIZE, PAIR_TYPES, is_pair_node

ConversionKind = Literal[
    "requantize", "quantize", "dequantize", "weights", "reformat", "unclear", ""
]

_SCALES: Final = frozenset({"Mul", "Cast"})
_ROUNDS: Final = frozenset({"Min", "Max", "Roun"})
# Rounds a value, then computes in float with the rounded one.
_AGAIN: Final = re.compile(r"RounCast(?:Move|Resh|Tran|Slic)*CastMul")
_QUANTIZED: Final = frozenset({"Int8", "FP8"})
# ONNX ops that a converting kernel may cite: a product whose channels it pads, and ops that only
# place values. A kernel that cites any other op of the model computes that op.
_PAIRS_AND_PRODUCTS: Final = PAIR_TYPES | WEIGHTED
_MOVING_OPS: Final = {
    "Pad",  # it also has values of its own
    *(op for op, row in TRAITS.items() if row.values in ("all", "placed")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversions:
    """Number of kernels that only convert, by kind.

    `requantize`: rounds a value that is rounded already, or rounds and continues in float; such a
    pair costs accuracy and brings no speed. `quantize` and `dequantize`: reads or writes a float
    tensor in memory. `weights`: dequantizes a weight at run time, for a product in float.
    `reformat`: copies a tensor into another layout. `unclear`: may be any of these.
    """

    requantize: int
    quantize: int
    dequantize: int
    weights: int
    reformat: int
    unclear: int


def conversion_kinds(model: QdqModel, layers: LayerList) -> tuple[ConversionKind, ...]:
    """What each layer converts if it only converts, else ''; in the order of the layers."""
    makers = {t.name: layer for layer in layers.layers for t in layer.outputs}
    reader = _Reader(model, makers)
    return tuple(reader.kind(layer) if layer.kind == "kgen" else "" for layer in layers.layers)


def conversions(model: QdqModel, layers: LayerList) -> Conversions:
    """Count the converting kernels of the engine that was made from a Q/DQ model."""
    kinds = conversion_kinds(model, layers)
    return Conversions(
        requantize=kinds.count("requantize"),
        quantize=kinds.count("quantize"),
        dequantize=kinds.count("dequantize"),
        weights=kinds.count("weights"),
        reformat=kinds.count("reformat"),
        unclear=kinds.count("unclear") + layers.unreadable,
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    model: QdqModel
    makers: Mapping[str, Layer]

    def kind(self, layer: Layer) -> ConversionKind:
        if layer.is_attention:
            return ""
        steps = operations(layer.name)
        if steps is None:
            return "unclear"
        names = frozenset(steps)
        if self._holds_a_pair(layer):
            if _AGAIN.search("".join(steps)):
                return "requantize"
            if CUT in names:
                return "unclear"
        cited = self._cited_ops(layer)
        converts = names - {CUT} <= MOVES | _SCALES | _ROUNDS
        if not converts or cited - _PAIRS_AND_PRODUCTS - _MOVING_OPS:
            return ""
        if CUT in names:
            return "unclear"
        if names <= MOVES and layer.inputs:
            return "" if cited & _MOVING_OPS else "reformat"
        return self._conversion(layer)

    def _conversion(self, layer: Layer) -> ConversionKind:
        """The kind of a kernel that only scales and rounds."""
        inputs, outputs = ({t.dtype for t in side} for side in (layer.inputs, layer.outputs))
        if not inputs:
            weights = {t.dtype for t in layer.constants} & _QUANTIZED and not outputs & _QUANTIZED
            return "weights" if weights else ""
        if not outputs & _QUANTIZED:
            return "dequantize" if inputs <= _QUANTIZED else ""
        if inputs <= _QUANTIZED:
            return "requantize"
        # Behind a product it scales the product's result, which is float in any case.
        behind = any(t.name in self.makers and self.makers[t.name].is_product for t in layer.inputs)
        return "" if behind or inputs & _QUANTIZED else "quantize"

    def _holds_a_pair(self, layer: Layer) -> bool:
        """True when the layer contains both nodes of a pair of an activation."""
        by_name = self.model.graph.by_name
        for node in (by_name[n] for n in layer.nodes if n in by_name):
            maker = self.model.quantizer(node) if is_pair_node(node, DEQUANTIZE) else None
            if maker and maker.name in layer.nodes and not self.model.is_constant(maker.inputs[0]):
                return True
        return False

    def _cited_ops(self, layer: Layer) -> frozenset[str]:
        by_name = self.model.graph.by_name
        return frozenset(by_name[n].type for n in layer.nodes if n in by_name)
