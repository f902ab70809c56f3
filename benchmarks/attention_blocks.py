"""Blocks with attention as well-known models compute it, and what torch exports of them."""

from __future__ import annotations

import io
import math
import warnings

import onnx
import torch
from torch import nn
from torch.nn import functional

WIDTH, HEADS, SIZE, TOKENS = 256, 4, 64, 64
NEVER = torch.finfo(torch.float32).min


def exported(module, *inputs, opset=17, dynamo=False):
    """The model that torch writes of a module; its inputs are x, and mask or memory."""
    torch.manual_seed(0)
    built = module().eval()
    for name, parameter in built.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    names = ["x", "y", "z"][: len(inputs)]
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            built, inputs, stream, input_names=names, output_names=["out"],
            opset_version=opset, dynamo=dynamo, **({"verbose": False} if dynamo else {}),
        )  # fmt: skip
    return onnx.load_from_string(stream.getvalue())


def scores(q, k, scale):
    """q times k, scaled as the name says."""
    turned = k.transpose(-1, -2)
    ways = {
        "divided": lambda: q @ turned / math.sqrt(SIZE),
        "multiplied": lambda: (q @ turned) * SIZE**-0.5,
        "queries": lambda: (q * SIZE**-0.5) @ turned,
        "both": lambda: (q * SIZE**-0.25) @ (k * SIZE**-0.25).transpose(-1, -2),
        "none": lambda: q @ turned,
    }
    return ways[scale]()


def attend(q, k, v, mask=None, *, scale="divided", dtype=None):
    """Attention as small ops."""
    product = scores(q, k, scale)
    product = product if mask is None else product + mask
    return product.softmax(-1, dtype=dtype).to(q.dtype) @ v


def sdpa(q, k, v, mask=None, *, causal=False):
    """Attention as torch's one function."""
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)


def causal_where(q, k, v):
    """Attention whose causal mask is a Where, as in GPT-2."""
    seen = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
    product = scores(q, k, "divided")
    return torch.where(seen, product, torch.full([], NEVER)).softmax(-1) @ v


def heads(t):
    return t.view(t.shape[0], t.shape[1], HEADS, -1).transpose(1, 2)


def joined(t):
    return t.transpose(1, 2).flatten(2)


class Separate(nn.Module):
    """Three projections; `memory` gives keys and values in cross attention."""

    def __init__(self, core, cross=False):
        super().__init__()
        self.core, self.cross, self.norm = core, cross, nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x, other=None):
        n = self.norm(x)
        memory = other if self.cross else n
        mask = () if self.cross or other is None else (other,)
        q, k, v = heads(self.q(n)), heads(self.k(memory)), heads(self.v(memory))
        return x + self.o(joined(self.core(q, k, v, *mask)))


class Fused(nn.Module):
    """One projection for queries, keys and values, cut as in timm ("stack") or GPT-2 ("chunk")."""

    def __init__(self, core, cut="stack"):
        super().__init__()
        self.core, self.cut, self.norm = core, cut, nn.LayerNorm(WIDTH)
        self.qkv, self.o = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        t = self.qkv(self.norm(x))
        if self.cut == "stack":
            batch, tokens, _ = x.shape
            q, k, v = t.reshape(batch, tokens, 3, HEADS, SIZE).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            q, k, v = map(heads, t.chunk(3, -1))
        return x + self.o(joined(self.core(q, k, v)))


class Multihead(nn.Module):
    """nn.MultiheadAttention; `position` adds one to queries and keys, as DETR does."""

    def __init__(self, weights, position=False):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=not position)
        self.norm, self.weights = nn.LayerNorm(WIDTH), weights
        self.position = nn.Parameter(torch.randn(TOKENS, 1, WIDTH)) if position else None

    def forward(self, x):
        if self.position is None:
            n = self.norm(x)
            return x + self.attention(n, n, n, need_weights=self.weights)[0]
        q = x + self.position
        return self.norm(x + self.attention(q, q, x, need_weights=self.weights)[0])


class Clip(Separate):
    """CLIP of older transformers: batch and heads are one dimension."""

    def __init__(self):
        super().__init__(None)

    def forward(self, x, mask):
        batch, tokens, _ = x.shape
        n = self.norm(x)
        flat = (heads(t).reshape(-1, tokens, SIZE) for t in (self.q(n), self.k(n), self.v(n)))
        q, k, v = flat
        product = torch.bmm(q * SIZE**-0.5, k.transpose(1, 2))
        product = (product.view(batch, HEADS, tokens, tokens) + mask).view(-1, tokens, tokens)
        found = torch.bmm(product.softmax(-1), v)
        return x + self.o(joined(found.view(batch, HEADS, tokens, SIZE)))


class Sam(nn.Module):
    """SAM's image encoder: relative positions of rows and columns, from the queries."""

    SIDE = 8

    def __init__(self):
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.o = nn.Linear(WIDTH, WIDTH)
        self.rows, self.columns = (
            nn.Parameter(torch.randn(2 * self.SIDE - 1, SIZE) * 0.1) for _ in range(2)
        )

    def forward(self, x):
        batch, rows, columns, _ = x.shape
        tokens, many = rows * columns, batch * HEADS
        t = self.qkv(self.norm(x)).reshape(batch, tokens, 3, HEADS, SIZE).permute(2, 0, 3, 1, 4)
        q, k, v = t.reshape(3, many, tokens, SIZE).unbind(0)
        apart = torch.arange(self.SIDE)[:, None] - torch.arange(self.SIDE)[None] + self.SIDE - 1
        grid = q.reshape(many, rows, columns, SIZE)
        by_row = torch.einsum("bhwc,hkc->bhwk", grid, self.rows[apart])
        by_column = torch.einsum("bhwc,wkc->bhwk", grid, self.columns[apart])
        product = scores(q, k, "queries").view(many, rows, columns, rows, columns)
        product = product + by_row[..., None] + by_column[:, :, :, None]
        found = product.view(many, tokens, tokens).softmax(-1) @ v
        found = found.view(batch, HEADS, rows, columns, SIZE).permute(0, 2, 3, 1, 4)
        return x + self.o(found.reshape(x.shape))


class Swin(Fused):
    """Swin: windows, and a bias from a table."""

    def __init__(self):
        super().__init__(None)
        self.table = nn.Parameter(torch.randn(TOKENS, HEADS))

    def forward(self, x):
        windows, tokens, _ = x.shape
        t = self.qkv(self.norm(x)).reshape(windows, tokens, 3, HEADS, SIZE)
        q, k, v = t.permute(2, 0, 3, 1, 4).unbind(0)
        place = (torch.arange(tokens)[:, None] * 7 + torch.arange(tokens)[None]) % TOKENS
        bias = self.table[place.view(-1)].view(tokens, tokens, HEADS).permute(2, 0, 1)[None]
        return x + self.o(joined(attend(q, k, v, bias, scale="queries")))


class Llama(nn.Module):
    """Llama: RMSNorm, rotary positions, `groups` of keys, and a cache when it decodes."""

    def __init__(self, groups=2, one_function=False):
        super().__init__()
        self.groups, self.one_function = groups, one_function
        self.gain = nn.Parameter(torch.ones(WIDTH))
        self.q, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))
        self.k, self.v = (nn.Linear(WIDTH, groups * SIZE, bias=False) for _ in range(2))

    def forward(self, x, *cache):
        batch, tokens, _ = x.shape
        n = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.gain
        q, k, v = (
            t.view(batch, tokens, -1, SIZE).transpose(1, 2)
            for t in (self.q(n), self.k(n), self.v(n))
        )
        q, k = self.rotated(q, tokens), self.rotated(k, tokens)
        if cache:
            k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
        if self.groups != HEADS:
            k, v = map(self.repeated, (k, v))
        if self.one_function:
            return x + self.o(joined(sdpa(q, k, v, causal=tokens > 1)))
        keys = k.shape[2]
        mask = torch.full((tokens, keys), NEVER).triu(keys - tokens + 1)
        found = attend(q, k, v, mask, scale="multiplied", dtype=torch.float32)
        return x + self.o(joined(found))

    @staticmethod
    def rotated(t, tokens):
        angle = torch.arange(tokens)[:, None] / 10000 ** (torch.arange(0, SIZE, 2) / SIZE)
        angle = torch.cat([angle, angle], -1)
        turned = torch.cat([-t[..., SIZE // 2 :], t[..., : SIZE // 2]], -1)
        return t * angle.cos() + turned * angle.sin()

    def repeated(self, t):
        batch, _, keys, _ = t.shape
        wide = t[:, :, None].expand(batch, self.groups, HEADS // self.groups, keys, SIZE)
        return wide.reshape(batch, HEADS, keys, SIZE)
