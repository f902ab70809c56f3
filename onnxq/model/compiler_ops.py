"""Which operators TensorRT imports from an ONNX file, as a table.

The parser looks at an operator's name alone, never at its domain: it takes any 'Relu' for ONNX's.
What it does not know may be a plugin of that name. The names are those that the parser of
TensorRT-RTX 1.7 answers for (`OnnxParser.supports_operator`); tests/linting asks the installed one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import onnx
from onnx import defs

from onnxq.model.ops import domain_of
from onnxq.model.scopes import all_nodes

# Operators of ONNX that it does not import.
NOT_IMPORTED: Final = frozenset(
    {"AffineGrid", "Bernoulli", "BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr"}
    | {"BitwiseXor", "CenterCropPad", "Col2Im", "Compress", "ConcatFromSequence", "ConvInteger"}
    | {"CumProd", "DFT", "DeformConv", "Det", "DynamicQuantizeLinear", "ImageDecoder"}
    | {"MatMulInteger", "MaxRoiPool", "MaxUnpool", "MelWeightMatrix", "Multinomial"}
    | {"NegativeLogLikelihoodLoss", "Optional", "OptionalGetElement", "OptionalHasElement"}
    | {"QLinearConv", "QLinearMatMul", "RegexFullMatch", "SequenceAt", "SequenceConstruct"}
    | {"SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap"}
    | {"SoftmaxCrossEntropyLoss", "SplitToSequence", "StringConcat", "StringNormalizer"}
    | {"StringSplit", "SwiGLU", "TfIdfVectorizer", "Unique"}
)
# Operators that ONNX does not define, and that it imports.
ALSO_IMPORTED: Final = frozenset(
    {"DistCollective", "GroupQueryAttention", "ImageScaler", "MultiHeadAttention"}
    | {"ParametricSoftplus", "QMoE", "ScaledTanh", "SimplifiedLayerNormalization"}
    | {"SkipSimplifiedLayerNormalization", "TRT_Attention", "TRT_AveragePool"}
    | {"TRT_BlockDequantize", "TRT_BlockQuantize", "TRT_Conv", "TRT_Deconv", "TRT_DynamicQuantize"}
    | {"TRT_FP4DynamicQuantize", "TRT_FP8DequantizeLinear", "TRT_FP8QuantizeLinear"}
    | {"TRT_FloorDiv", "TRT_Gather", "TRT_INT4DequantizeLinear", "TRT_INT4QuantizeLinear"}
    | {"TRT_KVCacheUpdate", "TRT_MXFP8DequantizeLinear", "TRT_MXFP8DynamicQuantize"}
    | {"TRT_MXFP8QuantizeLinear", "TRT_MatMul", "TRT_MaxAverageBlendPool", "TRT_MaxPool"}
    | {"TRT_MoE", "TRT_QuantizedAttention", "TRT_RaggedSoftmax", "TRT_Resize", "TRT_Scale"}
    | {"TRT_Shuffle", "TRT_Slice", "TRT_TopK_Min"}
)
# Domains of operators that another runtime has; nobody writes TensorRT plugins for them.
OF_ONNXRUNTIME: Final = "com.microsoft"
_OF_RUNTIMES: Final = frozenset(
    {OF_ONNXRUNTIME, "com.microsoft.experimental", "com.ms.internal.nhwc", "org.pytorch.aten"}
    | {"ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training"}
)
# Domains whose operators have other weights or layouts than those of the same name in ONNX.
_OTHER_LAYOUT: Final = frozenset({"com.microsoft.nchwc", "com.ms.internal.nhwc"})
# Operators of onnxruntime that have the name of one that is imported, and differ from it.
_REJECTED: Final = frozenset({"Attention", "MatMulNBits"})

Support = Literal["imported", "other", "rejected", "plugin"]


def support(op: str, domain: str) -> Support:
    """What TensorRT makes of an operator.

    "imported": it has it. "other": it takes it for the ONNX operator of that name, which computes
    something else. "rejected": it has no such operator, and there is hardly a plugin. "plugin": it
    takes it for a plugin of that name.
    """
    if domain in _OTHER_LAYOUT:
        return "other" if has_importer(op) else "rejected"
    if domain == OF_ONNXRUNTIME and op in _REJECTED:
        return "rejected"
    if has_importer(op):
        return "imported"
    is_known = (not domain and defs.has(op)) or domain in _OF_RUNTIMES
    return "rejected" if is_known else "plugin"


def has_importer(op: str) -> bool:
    """True for a name that the parser of TensorRT knows, in whatever domain."""
    return (defs.has(op) and op not in NOT_IMPORTED) or op in ALSO_IMPORTED


def without_importer(model: onnx.ModelProto) -> Iterator[str]:
    """Names of operators of a model, also in its subgraphs and functions, that may be plugins.

    Calls of the model's functions are none: TensorRT imports the nodes of the function.
    """
    functions = {function.name for function in model.functions}
    bodies = (model.graph.node, *(function.node for function in model.functions))
    yield from dict.fromkeys(
        node.op_type
        for body in bodies
        for node in all_nodes(body)
        if not is_imported(node) and node.op_type not in functions
    )


def is_imported(node: onnx.NodeProto) -> bool:
    """True for a node that TensorRT builds without a plugin."""
    return support(node.op_type, domain_of(node.domain)) in ("imported", "other")
