"""Attention in the forms that exporters write: one small block each, with random weights.

A block has 4 heads of 64 and 64 tokens, unless its form says otherwise. torch exports the modules;
operators that it does not write are given as ONNX text.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx
import torch
from attention_blocks import (
    HEADS,
    SIZE,
    TOKENS,
    WIDTH,
    Clip,
    Fused,
    Llama,
    Multihead,
    Sam,
    Separate,
    Swin,
    attend,
    causal_where,
    exported,
    sdpa,
)

sys.path.append(str(Path(__file__).parents[1]))

from tests.onnx_text import model


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form of attention: who writes it, and a function that makes its model."""

    title: str
    family: str
    model: Callable[[], onnx.ModelProto]


X = torch.zeros(1, TOKENS, WIDTH)
MASK = torch.zeros(1, 1, TOKENS, TOKENS)
MEMORY = torch.zeros(1, 100, WIDTH)
GRID = torch.zeros(1, Sam.SIDE, Sam.SIDE, WIDTH)
CACHE = torch.zeros(1, 2, TOKENS - 1, SIZE)
NEW = {"opset": 18, "dynamo": True}
NEWEST = {"opset": 23, "dynamo": True}


def _form(title, family, module, *inputs, **options):
    return Form(title=title, family=family, model=partial(exported, module, *inputs, **options))


def _separate(core, **options):
    return lambda: Separate(core, **options)


def _small(**options):
    return partial(attend, **options)


def _causal(q, k, v):
    return sdpa(q, k, v, causal=True)


EXPORTED = (
    *(
        _form(f"small ops, scale: {scale}", "hand-written", _separate(_small(scale=scale)), X)
        for scale in ("divided", "multiplied", "queries", "both", "none")
    ),
    _form("small ops, mask", "BERT", _separate(attend), X, MASK),
    _form("small ops, causal by Where", "GPT-2", _separate(causal_where), X),
    _form("small ops, softmax in float32", "Llama", _separate(_small(dtype=torch.float32)), X),
    _form("SDPA", "torch, opset 17", _separate(sdpa), X),
    _form("SDPA, mask", "torch, opset 17", _separate(sdpa), X, MASK),
    _form("SDPA, boolean mask", "torch, opset 17", _separate(sdpa), X, MASK == 0),
    _form("SDPA, causal", "torch, opset 17", _separate(_causal), X),
    _form("SDPA", "torch dynamo, opset 18", _separate(sdpa), X, **NEW),
    _form("SDPA, mask", "torch dynamo, opset 18", _separate(sdpa), X, MASK, **NEW),
    _form("SDPA, boolean mask", "torch dynamo, opset 18", _separate(sdpa), X, MASK == 0, **NEW),
    _form("SDPA, causal", "torch dynamo, opset 18", _separate(_causal), X, **NEW),
    _form("SDPA", "torch dynamo, opset 23", _separate(sdpa), X, **NEWEST),
    _form("cross attention, 100 keys", "DETR, Whisper", _separate(attend, cross=True), X, MEMORY),
    _form("cross attention, SDPA", "Whisper", _separate(sdpa, cross=True), X, MEMORY),
    _form("one product for q, k, v", "ViT of timm", lambda: Fused(_small(scale="queries")), X),
    _form("one product, SDPA", "ViT of timm", lambda: Fused(sdpa), X),
    _form("one product, SDPA", "timm, dynamo 18", lambda: Fused(sdpa), X, **NEW),
    _form("one product, SDPA", "timm, dynamo 23", lambda: Fused(sdpa), X, **NEWEST),
    _form("one product, Split", "GPT-2", lambda: Fused(causal_where, "chunk"), X),
    _form("197 tokens", "ViT-B/16", _separate(sdpa), torch.zeros(1, 197, WIDTH)),
    _form("577 tokens", "ViT-B/16, 384 pixels", _separate(sdpa), torch.zeros(1, 577, WIDTH)),
    _form("1024 tokens", "SAM, global", _separate(sdpa), torch.zeros(1, 1024, WIDTH)),
    _form("nn.MultiheadAttention", "torch, opset 17", lambda: Multihead(False), X),
    _form("nn.MultiheadAttention, weights", "torch, opset 17", lambda: Multihead(True), X),
    _form("nn.MultiheadAttention", "torch dynamo, opset 18", lambda: Multihead(False), X, **NEW),
    _form("positions, weights", "DETR", lambda: Multihead(True, True), X.transpose(0, 1)),
    _form("positions, SDPA", "DETR", lambda: Multihead(False, True), X.transpose(0, 1)),
    _form("three dimensions", "CLIP", Clip, X, MASK),
    _form("relative positions", "SAM", Sam, GRID),
    _form("relative positions", "SAM, dynamo 18", Sam, GRID, **NEW),
    _form("windows of 49", "Swin", Swin, torch.zeros(4, 49, WIDTH)),
    _form("rotary, grouped queries", "Llama", Llama, X),
    _form("rotary", "Llama", lambda: Llama(HEADS), X),
    _form("rotary, grouped, SDPA", "Llama, dynamo 18", lambda: Llama(2, True), X, **NEW),
    _form("rotary, grouped, SDPA", "Llama, dynamo 23", lambda: Llama(2, True), X, **NEWEST),
    _form("one token and a cache", "Llama", Llama, torch.zeros(1, 1, WIDTH), CACHE, CACHE),
)  # fmt: skip

_WEIGHTS = ", ".join(f"float[256,256] w{n}, float[256] b{n}" for n in "qkvo")
_PRODUCTS = " ".join(f"{n}m = MatMul (x, w{n}) {n} = Add ({n}m, b{n})" for n in "qkv")
_HEADS = "h = Constant <value_ints = [1,64,4,64]> () r = Constant <value_ints = [1,64,256]> () " + (
    " ".join(f"{n}h = Reshape ({n}, h) {n}t = Transpose <perm = [0,2,1,3]> ({n}h)" for n in "qkv")
)
_JOIN = "st = Transpose <perm = [0,2,1,3]> (s) a = Reshape (st, r)"
_SMALL = (
    "c = Constant <value_float = 0.125> () kx = Transpose <perm = [0,1,3,2]> (kr) "
    "qk = MatMul (qr, kx) sc = Mul (qk, c) p = Softmax <axis = -1> (sc) s = MatMul (p, vt) "
)
_ANGLES = ", float[64,32] cos, float[64,32] sin"
_PLACES = ", int64[1,64] places"
_MICROSOFT = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> '


def _text(body, *, head="", weights=_WEIGHTS, inputs="", opset=23):
    end = "om = MatMul (a, wo) out = Add (om, bo)"
    block = (
        f"block (float[1,64,256] x{inputs}) => (float[1,64,256] out) <{weights}> {{ {body} {end} }}"
    )
    return model(head + block, opset=opset)


def _onnx(title, body, **options):
    return Form(title=title, family="ONNX", model=partial(_text, body, **options))


def _microsoft(title, body, **options):
    make = partial(_text, body, head=_MICROSOFT, **options)
    return Form(title=title, family="com.microsoft", model=make)


_BARE = " ".join(f"{n}m = MatMul (x, w{n})" for n in "qkv")
OPERATORS = (
    _onnx("Attention", f"{_PRODUCTS} a = Attention <q_num_heads = 4, kv_num_heads = 4> (q, k, v)"),
    _onnx(
        "Attention, opset 24",
        f"{_PRODUCTS} a = Attention <q_num_heads = 4, kv_num_heads = 4> (q, k, v)",
        opset=24,
    ),
    _onnx(
        "Attention, causal",
        f"{_PRODUCTS} a = Attention <q_num_heads = 4, kv_num_heads = 4, is_causal = 1> (q, k, v)",
    ),
    _onnx(
        "Attention, mask",
        f"{_PRODUCTS} a = Attention <q_num_heads = 4, kv_num_heads = 4> (q, k, v, m)",
        inputs=", float[1,1,64,64] m",
    ),
    _onnx("Attention, 4 dimensions", f"{_PRODUCTS} {_HEADS} s = Attention (qt, kt, vt) {_JOIN}"),
    _onnx(
        "RotaryEmbedding, MatMuls",
        f"{_PRODUCTS} {_HEADS} qr = RotaryEmbedding (qt, cos, sin, places) "
        f"kr = RotaryEmbedding (kt, cos, sin, places) {_SMALL} {_JOIN}",
        weights=_WEIGHTS + _ANGLES,
        inputs=_PLACES,
    ),
    _onnx(
        "RotaryEmbedding, Attention",
        f"{_PRODUCTS} {_HEADS} qr = RotaryEmbedding (qt, cos, sin, places) "
        f"kr = RotaryEmbedding (kt, cos, sin, places) s = Attention (qr, kr, vt) {_JOIN}",
        weights=_WEIGHTS + _ANGLES,
        inputs=_PLACES,
    ),
    _microsoft(
        "RotaryEmbedding, MatMuls",
        f"{_PRODUCTS} {_HEADS} qr = com.microsoft.RotaryEmbedding (qt, places, cos, sin) "
        f"kr = com.microsoft.RotaryEmbedding (kt, places, cos, sin) {_SMALL} {_JOIN}",
        weights=_WEIGHTS + _ANGLES,
        inputs=_PLACES,
    ),
    _microsoft(
        "MultiHeadAttention",
        f"{_PRODUCTS} a = com.microsoft.MultiHeadAttention <num_heads = 4> (q, k, v)",
    ),
    _microsoft(
        "MultiHeadAttention, bias",
        f"{_BARE} a = com.microsoft.MultiHeadAttention <num_heads = 4> (qm, km, vm, b)",
        weights=_WEIGHTS + ", float[768] b",
    ),
    _microsoft(
        "GroupQueryAttention",
        f"{_BARE} a, pk, pv = com.microsoft.GroupQueryAttention <num_heads = 4, kv_num_heads = 2> "
        "(qm, km, vm, , , sl, tl)",
        weights="float[256,256] wq, float[256,128] wk, float[256,128] wv, float[256,256] wo, "
        "float[256] bo, int32[1,1] sl = {63}, int32[1] tl = {64}",
    ),
    _microsoft(
        "Attention",
        "a = com.microsoft.Attention <num_heads = 4> (x, w, b)",
        weights="float[256,768] w, float[768] b, float[256,256] wo, float[256] bo",
    ),
)
FORMS = (*EXPORTED, *OPERATORS)
