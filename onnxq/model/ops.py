"""What ONNX operators are, as a table: no policy here, and nothing about any one model.

Operators are called by their type: 'Conv', and with the domain where that is not ONNX's own, such
as 'com.microsoft::QGemm'.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal, Protocol

import onnx
from onnx import defs

from onnxq.model.einsum import equation_of

AxisOf = Callable[[Mapping[str, Any], int], int | None]  # (attributes, rank of the weight) -> axis
Values = Literal["all", "placed", "compared", "computed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTraits:
    """One row of the table.

    - `data`: input slots that carry quantizable data, None for every input. A slot that holds a
      constant is a weight, any other an activation.
    - `axes`: the output-channel axis of a constant operand, by slot; None for one that has a single
      scale, as it has one channel or channels on several axes.
    - `reduced`: the axis of a weight that a matrix product sums over, by slot; none where the
      weight is on the left, as TensorRT-RTX 1.7 crashes on blocks there.
    - `observed`: calibration looks at the activations of this op; where two are joined, only at
      those that are both computed.
    - `weighted`: a matrix product or a convolution, the ops that INT8 is for.
    - `multiplies`: it computes products too, but TensorRT has no INT8 form of it.
    - `form`: whether the row is for a node with such attributes; any other node has no row.
    - `commutative`: the first two inputs may change places.
    - `values`: where the values of the result come from. 'all': it has every value of the data
      inputs, each as often as they do. 'placed': it has some of them, chosen by their place or by
      a condition. 'compared': it has some of them, chosen by their size. 'computed': it has others.
    - `largest`: the bound of the magnitude of the result: 'input' for that of the largest float
      input, 'one' for 1. Ops whose values are not 'computed' have 'input' too.
    - `nonnegative`: no result is below zero.
    - `keeps_sign`: no result is below zero where no value of the data inputs is.

    What builds of TensorRT-RTX 1.7 show:

    - `crossed`: it moves a DequantizeLinear forward across the op; where several data inputs are
      joined, if all of them are dequantized with one scale. tests/linting has each of them.
    - `fused`: computed in the kernel of the product before it.
    - `kept_float`: computes in float whatever the Q/DQ, while TensorRT documents it as quantizable.
    """

    data: tuple[int, ...] | None = (0,)
    axes: Mapping[int, AxisOf] = field(default_factory=dict)
    reduced: Mapping[int, AxisOf] = field(default_factory=dict)
    observed: bool = False
    weighted: bool = False
    multiplies: bool = False
    form: Callable[[Mapping[str, Any]], bool] | None = None
    commutative: bool = False
    values: Values = "computed"
    largest: Literal["input", "one", ""] = ""
    nonnegative: bool = False
    keeps_sign: bool = False
    crossed: bool = False
    fused: bool = False
    kept_float: bool = False

    @property
    def keeps(self) -> bool:
        """True when the result has every value of the data inputs, as often as they do."""
        return self.values == "all"

    @property
    def moves(self) -> bool:
        """True when every result is one of the values of the first input."""
        return self.values != "computed" and self.data == (0,)

    @property
    def is_not_larger(self) -> bool:
        """True when no result is larger than the largest float input."""
        return self.largest == "input" or self.values != "computed"

    @property
    def is_convolution(self) -> bool:
        """True for a product over windows; the other weighted ops are matrix products."""
        return self.weighted and not self.reduced


def _fixed(axis: int) -> AxisOf:
    return lambda attributes, rank: axis


def _gemm_a(attributes: Mapping[str, Any], rank: int) -> int:
    return 1 if attributes.get("transA") else 0


def _gemm_b(attributes: Mapping[str, Any], rank: int) -> int:
    return 0 if attributes.get("transB") else 1


def _from_end(offset: int) -> AxisOf:
    # a vector has one channel
    return lambda attributes, rank: rank - offset if rank > 1 else None


def _whole(attributes: Mapping[str, Any], rank: int) -> None:
    """One scale for all of it, as for any data that is not a weight."""


def _einsum(slot: int) -> AxisOf:
    return lambda attributes, rank: equation_of(attributes).channel_axis(slot, rank)


def _is_int8_product(attributes: Mapping[str, Any]) -> bool:
    equation = equation_of(attributes)
    return equation.multiplies and not equation.obstacle


def _other(axis_of: Callable[[Mapping[str, Any], int], int]) -> AxisOf:
    return lambda attributes, rank: 1 - axis_of(attributes, rank)  # of a matrix


_ANY: Final = OpTraits(data=None)
_FUSED: Final = OpTraits(fused=True)
_REARRANGES: Final = OpTraits(values="all", crossed=True)
_PLACES: Final = OpTraits(values="placed", crossed=True)
_COMPARES: Final = OpTraits(values="compared", crossed=True)
_JOINS: Final = OpTraits(data=None, values="compared", crossed=True)
_AVERAGES: Final = OpTraits(observed=True, keeps_sign=True, kept_float=True, largest="input")
_SMALLER: Final = OpTraits(fused=True, largest="input")
_UNIT: Final = OpTraits(largest="one")
_RECURRENT: Final = OpTraits(data=(0, 1, 2), multiplies=True)
_FOREIGN_PRODUCT: Final = OpTraits(data=None, multiplies=True)

# Products of onnxruntime's own.
_FOREIGN: Final = tuple(
    f"com.microsoft::{op}"
    for op in (
        "Attention", "DecoderMaskedMultiHeadAttention", "FusedConv", "FusedGemm", "FusedMatMul",
        "GemmFloat8", "GroupQueryAttention", "MatMulBnb4", "MatMulNBits", "MoE",
        "MultiHeadAttention", "PackedAttention", "PackedMultiHeadAttention", "QMoE",
        "SparseAttention", "TransposeMatMul",
    )
)  # fmt: skip

TRAITS: Final[Mapping[str, OpTraits]] = {
    "Conv": OpTraits(data=(0, 1), axes={0: _whole, 1: _fixed(0)}, observed=True, weighted=True),
    "ConvTranspose": OpTraits(
        data=(0, 1),
        axes={0: _whole, 1: _fixed(1)},
        observed=True,
        weighted=True,
        kept_float=True,
    ),
    "Einsum": OpTraits(
        data=(0, 1),
        axes={0: _einsum(0), 1: _einsum(1)},
        reduced={1: _whole},  # no build with blocks was tried
        observed=True,
        weighted=True,
        form=_is_int8_product,
    ),
    "Gemm": OpTraits(
        data=(0, 1),
        axes={0: _gemm_a, 1: _gemm_b},
        reduced={1: _other(_gemm_b)},
        observed=True,
        weighted=True,
    ),
    "MatMul": OpTraits(
        data=(0, 1),
        axes={0: _from_end(2), 1: _from_end(1)},
        reduced={1: _from_end(2)},
        observed=True,
        weighted=True,
    ),
    # products that TensorRT computes in float
    "Attention": OpTraits(data=(0, 1, 2), multiplies=True),
    "DeformConv": OpTraits(data=(0, 1), multiplies=True),
    "GRU": _RECURRENT,
    "LSTM": _RECURRENT,
    "RNN": _RECURRENT,
    **dict.fromkeys(_FOREIGN, _FOREIGN_PRODUCT),
    "Add": OpTraits(data=(0, 1), observed=True, commutative=True),
    "Sum": OpTraits(data=None, observed=True, commutative=True),
    "Mul": OpTraits(data=(0, 1), commutative=True),
    "Concat": OpTraits(data=None, observed=True, values="all", crossed=True),
    "Resize": OpTraits(observed=True),
    # values in other places
    "DepthToSpace": _REARRANGES,
    "Flatten": _REARRANGES,
    "Identity": _REARRANGES,
    "Reshape": _REARRANGES,
    "SpaceToDepth": _REARRANGES,
    "Squeeze": _REARRANGES,
    "Transpose": _REARRANGES,
    "Unsqueeze": _REARRANGES,
    "ReverseSequence": OpTraits(values="all"),
    "Dropout": _PLACES,
    "Expand": _PLACES,
    "Gather": _PLACES,
    "GatherElements": _PLACES,
    "GatherND": _PLACES,
    "Slice": _PLACES,
    "Split": _PLACES,
    "Tile": _PLACES,
    "Where": OpTraits(data=(1, 2), values="placed", crossed=True),
    "Pad": OpTraits(crossed=True, largest="input"),  # `node_inputs.crossed` has the exception
    # the largest or least values
    "MaxPool": OpTraits(observed=True, values="compared", crossed=True),
    "GlobalMaxPool": _COMPARES,
    "ReduceMax": _COMPARES,
    "ReduceMin": _COMPARES,
    "TopK": _COMPARES,
    "Max": _JOINS,
    "Min": _JOINS,
    # averages
    "AveragePool": _AVERAGES,
    "GlobalAveragePool": _AVERAGES,
    "ReduceMean": OpTraits(largest="input"),
    # activations and normalizations
    "Abs": OpTraits(nonnegative=True, crossed=True, largest="input"),
    "BatchNormalization": OpTraits(data=None, fused=True),
    "Clip": _FUSED,
    "Cos": _UNIT,
    "Elu": _FUSED,
    "Erf": OpTraits(fused=True, largest="one"),
    "Exp": OpTraits(nonnegative=True),
    "Gelu": _SMALLER,
    "HardSigmoid": OpTraits(nonnegative=True, fused=True, largest="one"),
    "HardSwish": _SMALLER,
    "LeakyRelu": _FUSED,
    "Mish": _SMALLER,
    "Neg": OpTraits(crossed=True, largest="input"),
    "PRelu": OpTraits(data=None, fused=True),
    "Relu": OpTraits(nonnegative=True, fused=True, largest="input"),
    "Sigmoid": OpTraits(nonnegative=True, fused=True, largest="one"),
    "Sin": _UNIT,
    "Softmax": OpTraits(nonnegative=True, largest="one"),
    "Softplus": OpTraits(nonnegative=True, fused=True),
    "Softsign": _UNIT,
    "Swish": OpTraits(largest="input"),
    "Tanh": OpTraits(fused=True, largest="one"),
}

WEIGHTED: Final = frozenset(op for op, row in TRAITS.items() if row.weighted)
# Ops that may multiply: an Einsum does where it sums over what several operands have.
PRODUCTS: Final = WEIGHTED | {op for op, row in TRAITS.items() if row.multiplies}

# Ops that compute every value of the result from the values at one place.
ELEMENTWISE: Final = frozenset(op for op, row in TRAITS.items() if row.fused) | {
    *("Abs", "Add", "Cast", "Div", "Dropout", "Exp", "Identity", "Max", "Min", "Mul", "Neg", "Pow"),
    *("Reciprocal", "Selu", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "ThresholdedRelu"),
}

# Ops whose bodies onnxq looks into.
WITH_BODIES: Final = frozenset({"If", "Loop", "Scan"})

# Ops whose results differ from run to run.
RANDOM: Final = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"}
    | {"RandomUniform", "RandomUniformLike"}
)

# Ops whose results stand in an order, or are a selection, that values decide on.
ORDERING: Final = frozenset({"Compress", "NonMaxSuppression", "NonZero", "TopK", "Unique"})

# Ops whose results depend on the shapes of their inputs, not on the values.
SHAPES: Final = frozenset({"Shape", "Size"})

# Ops of ONNX and of onnxruntime that compute with integers, or quantize when the model runs.
_INTEGER_OP: Final = re.compile(
    r"(com\.microsoft::)?(QLinear\w+|(Conv|MatMul)Integer\w*|DynamicQuantize\w+)"
    r"|com\.microsoft::(Q(Attention|EmbedLayerNormalization|Gemm|MoE)|QOrdered\w+)"
)


class _Called(Protocol):
    """A node that has its type and attributes, such as `graph.Node`."""

    @property
    def type(self) -> str: ...
    @property
    def attributes(self) -> Mapping[str, Any]: ...


def traits(node: _Called) -> OpTraits:
    """The table's row for a node; an op the table does not know has data in every input."""
    row = traits_of(node.type)
    return row if row.form is None or row.form(node.attributes) else _ANY


def traits_of(op: str) -> OpTraits:
    """The table's row for a type of operator."""
    return TRAITS.get(op, _ANY)


def type_of(proto: onnx.NodeProto) -> str:
    """The type of a node's operator: its name, with the domain where that is not ONNX's own."""
    domain = domain_of(proto.domain)
    return f"{domain}::{proto.op_type}" if domain else str(proto.op_type)


def domain_of(domain: str) -> str:
    """A domain, '' for both names of ONNX's own."""
    return "" if domain == "ai.onnx" else domain


def is_integer_op(op: str) -> bool:
    """True for a type of operator that computes with integers, or quantizes at run time.

    TensorRT imports none of them.
    """
    return _INTEGER_OP.fullmatch(op) is not None


@cache
def attribute_defaults(op: str, domain: str) -> Mapping[str, onnx.AttributeProto]:
    """The attributes that ONNX gives a value where a node has none, by name."""
    if not defs.has(op, domain):
        return {}
    declared = defs.get_schema(op, domain).attributes.items()
    return {name: a.default_value for name, a in declared if a.default_value.name}
