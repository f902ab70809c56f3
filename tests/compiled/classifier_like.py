"""Small classifiers with the residual blocks of ResNet, MobileNet and EfficientNet, untrained."""

import torch
from torch import nn

from .exported import exported


def conv_bn(inputs, outputs, kernel=1, stride=1, groups=1, act=None):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), *([act()] if act else []))


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels, gate):
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, 8, 1),
            nn.ReLU(),
            nn.Conv2d(8, channels, 1),
            gate(),
        )

    def forward(self, x):
        return x * self.gate(x)


class Residual(nn.Module):
    """main(x) + shortcut(x), and perhaps a ReLU."""

    def __init__(self, main, shortcut=None, act=None):
        super().__init__()
        self.main, self.shortcut = main, shortcut or nn.Identity()
        self.act = act() if act else nn.Identity()

    def forward(self, x):
        return self.act(self.main(x) + self.shortcut(x))


def resnet(kind):
    """Stem, an identity block, a downsample block, an identity block: two Convs each, or three."""
    relu = nn.ReLU

    def main(inputs, outputs, stride):
        if kind == "basic":
            return nn.Sequential(
                conv_bn(inputs, outputs, 3, stride, act=relu), conv_bn(outputs, outputs, 3)
            )
        return nn.Sequential(
            conv_bn(inputs, 16, act=relu),
            conv_bn(16, 16, 3, stride, act=relu),
            conv_bn(16, outputs),
        )

    def shortcut():
        if kind == "pooled":
            return nn.Sequential(nn.AvgPool2d(2, 2), conv_bn(32, 64))
        return conv_bn(32, 64, stride=2)

    return nn.Sequential(
        conv_bn(3, 32, 7, 2, act=relu),
        nn.MaxPool2d(3, 2, 1),
        Residual(main(32, 32, 1), act=relu),
        Residual(main(32, 64, 2), shortcut(), act=relu),
        Residual(main(64, 64, 1), act=relu),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def inverted(act, gate):
    """MobileNet's and EfficientNet's blocks; some begin with what a Conv gave, some with a sum."""

    def block(expand):
        hidden = 64 if expand else 32
        layers = [conv_bn(32, hidden, act=act)] if expand else []
        layers += [conv_bn(hidden, hidden, 3, groups=hidden, act=act)]
        layers += [Gate(hidden, gate)] if gate else []
        return nn.Sequential(*layers, conv_bn(hidden, 32))

    return nn.Sequential(
        conv_bn(3, 16, 3, 2, act=act),
        conv_bn(16, 32),
        Residual(block(expand=False)),
        Residual(block(expand=True)),
        conv_bn(32, 32),
        Residual(block(expand=True)),
    )


KINDS = {
    "basic": lambda: resnet("basic"),
    "bottleneck": lambda: resnet("bottleneck"),
    "pooled": lambda: resnet("pooled"),
    "mobilenet_v2": lambda: inverted(nn.ReLU6, None),
    "mobilenet_v3": lambda: inverted(nn.Hardswish, nn.Hardsigmoid),
    "efficientnet": lambda: inverted(nn.SiLU, nn.Sigmoid),
}


def classifier(kind, opset=17):
    """The classifier of a kind as ONNX."""
    return exported(KINDS[kind], torch.zeros(1, 3, 64, 64), opset=opset)
