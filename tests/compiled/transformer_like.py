"""Small encoders like ViT and BERT, untrained: with products of three dimensions and of two."""

import torch
from torch import nn

from .exported import exported

WIDTH, HEADS, TOKENS = 64, 2, 16


class Flat(nn.Linear):
    """A Linear on rows, which torch exports as Gemm; on three dimensions it exports MatMul, Add."""

    def forward(self, x):
        return (
            super().forward(x.reshape(-1, self.in_features)).reshape(-1, TOKENS, self.out_features)
        )


class Layer(nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.out = (linear(WIDTH, WIDTH) for _ in range(4))
        self.wide, self.narrow = linear(WIDTH, 2 * WIDTH), linear(2 * WIDTH, WIDTH)

    def heads(self, x):
        return x.reshape(1, TOKENS, HEADS, -1).transpose(1, 2)

    def forward(self, x, mask=None):
        y = self.before(x)
        q, k, v = (self.heads(f(y)) for f in (self.q, self.k, self.v))
        scores = q @ k.transpose(-2, -1) / (WIDTH // HEADS) ** 0.5
        scores = scores if mask is None else scores + mask
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(1, TOKENS, WIDTH)
        x = x + self.out(mixed)
        return x + self.narrow(nn.functional.gelu(self.wide(self.between(x))))


class Vit(nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 4, 4)
        self.places = nn.Parameter(torch.randn(1, TOKENS, WIDTH))
        self.layers = nn.Sequential(Layer(linear), Layer(linear))
        self.last, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.head(self.last(self.layers(x)).mean(1))


class Bert(nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.words = nn.Embedding(50, WIDTH)
        self.layers = nn.ModuleList([Layer(linear), Layer(linear)])
        self.pooler = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, mask):
        bias = (1.0 - mask[:, None, None].float()) * -10000.0
        x = self.words(x)
        for layer in self.layers:
            x = layer(x, bias)
        return self.pooler(x[:, 0]).tanh()


LINEARS = {"MatMul": nn.Linear, "Gemm": Flat}


def transformer(kind, form, opset=17):
    """'vit' or 'bert' as ONNX; below opset 17 LayerNorm is a chain of small ops."""
    linear = LINEARS[form]
    if kind == "vit":
        return exported(lambda: Vit(linear), torch.zeros(1, 3, 16, 16), opset=opset)
    tokens = torch.zeros(1, TOKENS, dtype=torch.int64)
    return exported(lambda: Bert(linear), tokens, torch.ones_like(tokens), opset=opset)
