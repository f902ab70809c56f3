"""Models that onnxruntime optimized for itself: their fused ops are no operators of TensorRT."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx

from onnxq.diagnostics import counted, error
from onnxq.model.compiler_ops import OF_ONNXRUNTIME, is_imported
from onnxq.model.ops import domain_of, type_of
from onnxq.model.scopes import nodes

# Domains that only the optimizer of onnxruntime writes.
_LAYOUTS: Final = frozenset({"com.microsoft.nchwc", "com.ms.internal.nhwc"})
# What the optimizer, onnxruntime.transformers, Olive and optimum write, and no exporter of a
# framework (onnxruntime 1.32, core/optimizer and python/tools/transformers).
_FUSED: Final = frozenset(
    {"Attention", "BiasAdd", "BiasDropout", "BiasGelu", "BiasSoftmax", "BiasSplitGelu"}
    | {"DecoderMaskedMultiHeadAttention", "DecoderMaskedSelfAttention", "EmbedLayerNormalization"}
    | {"FastGelu", "FusedConv", "FusedGemm", "FusedMatMul", "FusedMatMulActivation"}
    | {"GatedRelativePositionBias", "GroupNorm", "LongformerAttention", "NhwcConv"}
    | {"NhwcFusedConv", "NhwcMaxPool", "PackedAttention", "PackedMultiHeadAttention", "QuickGelu"}
    | {"RelativePositionBias", "RemovePadding", "RestorePadding", "SkipGroupNorm"}
    | {"SkipLayerNormalization", "TransposeMatMul"}
)


def refuse_optimized(model: onnx.ModelProto, path: str | Path) -> None:
    """Raise OQ311 for a model with ops that onnxruntime fused for itself."""
    fused = [n for _, n in nodes(model.graph) if _is_fused(n)]
    if fused:
        raise error(
            "OQ311",
            f"'{path}' was optimized for onnxruntime: {counted(len(fused), 'node')} such as "
            f"{type_of(fused[0])} '{fused[0].name}', which TensorRT does not have",
            fix="give the model as it was exported, before it was optimized",
        )


def _is_fused(node: onnx.NodeProto) -> bool:
    domain = domain_of(node.domain)
    if domain in _LAYOUTS:
        return True
    return domain == OF_ONNXRUNTIME and node.op_type in _FUSED and not is_imported(node)
