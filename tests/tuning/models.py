"""Small nets of which one Conv brings most of the noise."""

import numpy as np
from onnx import helper

from tests.improvement.models import array, model


def conv(inputs, output, name, **attributes):
    return helper.make_node("Conv", inputs, [output], name, **attributes)


def chain(count=5, bad=2, names="/net/{}/Conv"):
    """Convs in a row; the inputs of one have a channel that is far larger than the others."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for i in range(count):
        weight = rng.normal(size=(6, 6, 1, 1)) / 3
        if i == bad - 1:
            weight[0] *= 60
        if i == bad:
            weight[:, 0] /= 60
        weights.append(array(f"w{i}", weight))
        nodes.append(conv(["x" if not i else f"r{i - 1}", f"w{i}"], f"a{i}", names.format(i)))
        nodes.append(helper.make_node("Relu", [f"a{i}"], [f"r{i}"], f"relu{i}"))
    nodes.pop()
    nodes[-1].output[0] = "y"
    shape = [1, 6, 8, 8]
    return model(nodes, weights, {"x": shape}, {"y": shape})


def inputs(count, seed=1):
    """Random inputs of `chain`."""
    rng = np.random.default_rng(seed)
    return [{"x": rng.normal(size=(1, 6, 8, 8)).astype(np.float32)} for _ in range(count)]
