"""Small detectors with the blocks of YOLOv5, v7, v8 and 11, untrained, exported by torch."""

from functools import cache

import torch
from torch import nn

from .exported import exported

SIDE = 64


class Conv(nn.Sequential):
    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1):
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.SiLU(),
        )


class Bottleneck(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.convs = nn.Sequential(Conv(channels, channels, 3), Conv(channels, channels, 3))

    def forward(self, x):
        return x + self.convs(x)


class C2f(nn.Module):
    """YOLOv8: a split, a chain of bottlenecks, and a Concat of every link."""

    def __init__(self, inputs, outputs, link=Bottleneck):
        super().__init__()
        self.half = half = outputs // 2
        self.first, self.last = Conv(inputs, outputs), Conv(4 * half, outputs)
        self.links = nn.ModuleList(link(half) for _ in range(2))

    def forward(self, x):
        parts = list(self.first(x).split(self.half, 1))
        for link in self.links:
            parts.append(link(parts[-1]))
        return self.last(torch.cat(parts, 1))


class C3(nn.Module):
    """YOLOv5: bottlenecks on one of two branches."""

    def __init__(self, inputs, outputs):
        super().__init__()
        half = outputs // 2
        self.left = nn.Sequential(Conv(inputs, half), Bottleneck(half), Bottleneck(half))
        self.right, self.last = Conv(inputs, half), Conv(2 * half, outputs)

    def forward(self, x):
        return self.last(torch.cat([self.left(x), self.right(x)], 1))


class C3k2(C2f):
    """YOLO11: C2f of C3."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, lambda half: C3(half, half))


class Elan(nn.Module):
    """YOLOv7: every second link of a chain goes into the Concat."""

    def __init__(self, inputs, outputs):
        super().__init__()
        half = outputs // 2
        self.left, self.right = Conv(inputs, half), Conv(inputs, half)
        self.links = nn.ModuleList(
            nn.Sequential(Conv(half, half, 3), Conv(half, half, 3)) for _ in range(2)
        )
        self.last = Conv(4 * half, outputs)

    def forward(self, x):
        parts = [self.left(x), self.right(x)]
        for link in self.links:
            parts.append(link(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Down(Conv):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, 3, 2)


class MaxPoolDown(nn.Module):
    """YOLOv7: half the channels by MaxPool, half by a Conv."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.pooled = nn.Sequential(nn.MaxPool2d(2, 2), Conv(inputs, outputs // 2))
        self.strided = nn.Sequential(Conv(inputs, inputs), Down(inputs, outputs // 2))

    def forward(self, x):
        return torch.cat([self.pooled(x), self.strided(x)], 1)


class Sppf(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.last = Conv(channels, channels // 2), Conv(2 * channels, channels)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x):
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.last(torch.cat(parts, 1))


class Attention(nn.Module):
    """YOLO11: attention over positions, with a depthwise Conv as position encoding."""

    def __init__(self, channels, heads=2):
        super().__init__()
        self.heads, self.size = heads, channels // heads
        self.qkv = nn.Conv2d(channels, 2 * channels, 1)
        self.position = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        batch, channels, height, width = x.shape
        size = self.size
        qkv = self.qkv(x).view(batch, self.heads, 2 * size, height * width)
        q, k, v = qkv.split([size // 2, size // 2, size], 2)
        weights = ((q.transpose(-2, -1) @ k) * (size // 2) ** -0.5).softmax(-1)
        mixed = (v @ weights.transpose(-2, -1)).view(batch, channels, height, width)
        return self.out(mixed + self.position(v.reshape(batch, channels, height, width)))


class Psa(nn.Module):
    """YOLO11: C2PSA, attention and a small perceptron on half the channels."""

    def __init__(self, channels):
        super().__init__()
        self.half = half = channels // 2
        self.first, self.last = Conv(channels, channels), Conv(channels, channels)
        self.attention = Attention(half)
        self.perceptron = nn.Sequential(Conv(half, channels), nn.Conv2d(channels, half, 1))

    def forward(self, x):
        a, b = self.first(x).split(self.half, 1)
        b = b + self.attention(b)
        b = b + self.perceptron(b)
        return self.last(torch.cat([a, b], 1))


class Head(nn.Module):
    """YOLOv8: boxes as distributions over distances (DFL), decoded; bare Convs at the end."""

    BINS = 16

    def __init__(self, channels, classes=4):
        super().__init__()
        self.boxes = nn.ModuleList(
            nn.Sequential(Conv(c, 32, 3), nn.Conv2d(32, 4 * self.BINS, 1)) for c in channels
        )
        self.classes = nn.ModuleList(
            nn.Sequential(Conv(c, 32, 3), nn.Conv2d(32, classes, 1)) for c in channels
        )
        self.dfl = nn.Conv2d(self.BINS, 1, 1, bias=False)
        self.dfl.weight.data[:] = torch.arange(self.BINS, dtype=torch.float)[None, :, None, None]

    def forward(self, features):
        boxes = torch.cat([m(f).flatten(2) for m, f in zip(self.boxes, features, strict=True)], 2)
        scores = [m(f).flatten(2) for m, f in zip(self.classes, features, strict=True)]
        batch, _, places = boxes.shape
        bins = boxes.view(batch, 4, self.BINS, places).transpose(2, 1).softmax(1)
        near, far = self.dfl(bins).view(batch, 4, places).split(2, 1)
        centre = torch.arange(places, dtype=torch.float)[None, None]
        low, high = centre - near, centre + far
        boxes = torch.cat([(low + high) / 2, high - low], 1) * 8.0
        return torch.cat([boxes, torch.cat(scores, 2).sigmoid()], 1)


class Yolo(nn.Module):
    """Backbone, a neck that goes up and down again, and heads at two sizes."""

    def __init__(self, block, down=Down, deepest=Sppf):
        super().__init__()
        self.stem = nn.Sequential(Conv(3, 16, 3, 2), down(16, 32), block(32, 32))
        self.middle = nn.Sequential(down(32, 64), block(64, 64))
        self.deep = nn.Sequential(down(64, 64), block(64, 64), deepest(64))
        self.up = nn.Upsample(scale_factor=2)
        self.above, self.down, self.below = block(128, 64), down(64, 64), block(128, 64)
        self.head = Head((64, 64))

    def forward(self, x):
        middle = self.middle(self.stem(x))
        deep = self.deep(middle)
        above = self.above(torch.cat([self.up(deep), middle], 1))
        below = self.below(torch.cat([self.down(above), deep], 1))
        return self.head([above, below])


KINDS = {
    "v5": lambda: Yolo(C3),
    "v7": lambda: Yolo(Elan, down=MaxPoolDown),
    "v8": lambda: Yolo(C2f),
    "11": lambda: Yolo(C3k2, deepest=lambda c: nn.Sequential(Sppf(c), Psa(c))),
}


@cache
def yolo(kind):
    """The detector of a kind as ONNX."""
    return exported(KINDS[kind], torch.zeros(1, 3, SIDE, SIDE))
