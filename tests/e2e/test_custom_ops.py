"""Ops that onnxq knows nothing about: a recipe names their ports, the weight's axis included."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser

from onnxq.quantization import fake_tensor_quant
from tests.cli.forked import onnxq
from tests.command import result, succeeded

CHANNELS = 6
WEIGHT = np.linspace(0.1, 3, CHANNELS, dtype=np.float32).reshape(1, CHANNELS, 1, 1)

PLAIN = """
<ir_version: 8, opset_import: ["" : 17]>
multi_add (float[1,6,4,4] x, float[1,6,4,4] z) => (float[1,6,4,4] y) {
    [mul] product = Mul (x, w)
    [add] y = Add (product, z)
}
"""
# The body is what lets onnxruntime run the op, and calibrate and verify with it.
CUSTOM = """
<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>
multi_add (float[1,6,4,4] x, float[1,6,4,4] z) => (float[1,6,4,4] y) {
    [multi_add] y = com.example.MultiAdd (x, w, z)
}
<domain: "com.example", opset_import: ["" : 17]>
MultiAdd (a, b, c) => (y) {
    product = Mul (a, b)
    y = Add (product, c)
}
"""
DESCRIPTORS = """
schema: 1
descriptors:
  act: {calibrator: histogram, method: mse}
  weight: {granularity: per_channel, axis: 1, calibrator: histogram, method: mse}
rules:
"""
PLAIN_RULES = """
  - id: product
    why: The weight is multiplied with the input, channel by channel.
    match: {op: Mul, consumer: {op: Add}}
    quantize: {inputs: act, weights: weight}
  - id: sum
    why: The second input is added.
    match: {pattern: "Add(Mul, z)"}
    quantize: {z: act}
"""
CUSTOM_RULES = """
  - id: multi-add
    why: A kernel of ours reads all three in INT8.
    match: {op: "com.example::MultiAdd"}
    quantize: {"input[0]": act, "input[1]": weight, "input[2]": act}
"""
PORTS = {
    "plain": {"x": ("mul", 0), "w": ("mul", 1), "z": ("add", 1)},
    "custom": {"x": ("multi_add", 0), "w": ("multi_add", 1), "z": ("multi_add", 2)},
}


def written(text):
    model = parser.parse_model(text)
    model.graph.initializer.append(numpy_helper.from_array(WEIGHT, "w"))
    return model


def from_torch():
    """The same product and sum as torch exports them."""
    import io

    import torch

    class MultiAdd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.from_numpy(WEIGHT.copy()))

        def forward(self, x, z):
            return x * self.w + z

    example = torch.zeros(1, CHANNELS, 4, 4)
    with io.BytesIO() as file:
        torch.onnx.export(
            MultiAdd(), (example, example), file, input_names=["x", "z"], output_names=["y"],
            opset_version=17, dynamo=False,
        )  # fmt: skip
        model = onnx.load_from_string(file.getvalue())
    for node in model.graph.node:
        node.name = node.op_type.lower()
    return model


MODELS = {
    "plain": (lambda: written(PLAIN), PLAIN_RULES, "plain"),
    "torch": (from_torch, PLAIN_RULES, "plain"),
    "custom": (lambda: written(CUSTOM), CUSTOM_RULES, "custom"),
}


def samples(count, seed):
    rng = np.random.default_rng(seed)
    shape = (count, CHANNELS, 4, 4)
    return {"x": rng.normal(size=shape), "z": 5 * rng.normal(size=shape)}


@pytest.fixture(scope="module", params=MODELS)
def folder(request, tmp_path_factory):
    """A folder in which calibrate and insert ran; `ports` are the inputs to be quantized."""
    make, rules, kind = MODELS[request.param]
    path = tmp_path_factory.mktemp(request.param)
    onnx.save(make(), path / "model.onnx")
    (path / "rules.yaml").write_text(DESCRIPTORS + rules)
    for name, seed in (("seen", 0), ("other", 1)):
        arrays = {k: v.astype(np.float32) for k, v in samples(16, seed).items()}
        np.savez(path / f"{name}.npz", **arrays)
    calibrate = ("calibrate", "model.onnx", "--data", "seen.npz", "--rules", "rules.yaml")
    succeeded(onnxq(*calibrate, "-o", "model.calib.npz", cwd=path))
    succeeded(onnxq("insert", "--rules", "rules.yaml", cwd=path))
    return path, PORTS[kind]


def dequantizers(path, ports):
    """The DequantizeLinear in front of each port, with the values of its scale."""
    model = onnx.load(path / "model.qdq.onnx")
    nodes = {n.name: n for n in model.graph.node}
    makers = {n.output[0]: n for n in model.graph.node}
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    readers = {name: makers[nodes[node].input[slot]] for name, (node, slot) in ports.items()}
    return {name: (node, makers.get(node.input[0]), values) for name, node in readers.items()}


def test_a_pair_at_every_port_that_the_recipe_names(folder):
    for name, (node, quantizer, values) in dequantizers(*folder).items():
        assert node.op_type == "DequantizeLinear"
        scale, zero = values[node.input[1]], values[node.input[2]]
        axes = [a.i for a in node.attribute if a.name == "axis"]
        if name == "w":
            assert (scale.shape, axes, quantizer) == ((CHANNELS,), [1], None)
            assert values[node.input[0]].dtype == np.int8
        else:
            assert (scale.shape, axes, quantizer.op_type) == ((), [], "QuantizeLinear")
            assert quantizer.input[0] == name
        assert zero.dtype == np.int8
        assert not zero.any()


def test_nothing_else_is_quantized(folder):
    path, ports = folder
    kinds = [n.op_type for n in onnx.load(path / "model.qdq.onnx").graph.node]
    assert kinds.count("DequantizeLinear") == len(ports)
    assert kinds.count("QuantizeLinear") == len(ports) - 1


def test_it_computes_with_the_quantized_values(folder):
    path, ports = folder
    amax = {
        name: 127 * values[node.input[1]] for name, (node, _, values) in
        dequantizers(path, ports).items()
    }  # fmt: skip
    feed = {k: v[:1].astype(np.float32) for k, v in samples(1, 2).items()}
    session = onnxruntime.InferenceSession(
        path / "model.qdq.onnx", providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, feed)
    x, z = (fake_tensor_quant(feed[name], amax[name]) for name in ("x", "z"))
    expected = x * fake_tensor_quant(WEIGHT, amax["w"], axis=1) + z
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    exact = feed["x"] * WEIGHT + feed["z"]
    assert 0 < np.abs(y - exact).max() < 0.2


def test_verify(folder):
    path, _ = folder
    report = result(
        succeeded(
            onnxq("verify", "model.onnx", "model.qdq.onnx", "--data", "other.npz", "--backend",
                  "onnxruntime", "--json", cwd=path)
        )
    )  # fmt: skip
    assert report["models"][0]["lint"] == []
    assert report["models"][0]["numeric"]["sqnr_db"] > 35
