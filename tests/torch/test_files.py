"""Q/DQ models written back: the same bytes, or other numbers in the same graph."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import onnxq
import onnxq.torch
from onnxq.diagnostics import OnnxqError
from tests.inserting import computed

from .models import IN_FLOAT, blocks, dotted, stored

FORMS = {
    "stored": stored,
    "in float": lambda: dotted(IN_FLOAT),
    "int4": lambda: blocks("int4"),
    "fp8": lambda: blocks("fp8"),
}


def changed_numbers(before, after):
    """The constants that differ; everything else of the models must be equal."""
    one, other = onnx.load(before), onnx.load(after)
    arrays = [
        {t.name: t.SerializeToString() for t in proto.graph.initializer} for proto in (one, other)
    ]
    for proto in (one, other):
        del proto.graph.initializer[:]
    assert one == other
    assert arrays[0].keys() == arrays[1].keys()
    return {name for name in arrays[0] if arrays[0][name] != arrays[1][name]}


def in_float16(model):
    """A model with all its numbers and types in half precision, which opset 19 has pairs for."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            half = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    model.opset_import[0].version = 19
    return model


@pytest.fixture(params=FORMS)
def file(request, tmp_path):
    path = tmp_path / "model.qdq.onnx"
    onnx.save(FORMS[request.param](), path)
    return path


def test_what_has_not_changed_is_written_bit_for_bit(file, tmp_path):
    out = onnxq.torch.save(onnxq.torch.load(file), file, tmp_path / "out.onnx")
    assert changed_numbers(file, out) == set()


def test_the_file_computes_what_the_module_does(file, tmp_path):
    loaded = onnxq.torch.load(file)
    width = 4 if "x" in loaded.quantizers else 64
    rows = 1 if width == 64 else 7
    x = torch.randn((rows, width), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, parameter in loaded.named_parameters():
            parameter.mul_(1.5 if name.endswith(".amax") else 1.1)
    out = onnxq.torch.save(loaded, file, tmp_path / "out.onnx")
    learning = set(loaded.initializers) | {
        name for quantizer in loaded.quantizers.values() for name in quantizer.of.scales
    }
    assert changed_numbers(file, out) == learning
    reference = computed(onnx.load(out), x=x.numpy())[0]
    np.testing.assert_allclose(loaded(x).detach().numpy(), reference, 1e-4, 1e-5)
    rules = [[f.code for f in onnxq.lint(path).findings] for path in (file, out)]
    assert rules[0] == rules[1]


def test_what_does_not_learn_stays(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(stored(), path)
    loaded = onnxq.torch.load(path)
    loaded.initializers["b"].requires_grad_(False)
    optimizer = torch.optim.Adam(loaded.parameters(), lr=0.01, weight_decay=0.1)
    loaded(torch.randn(3, 4)).sum().backward()
    optimizer.step()
    out = onnxq.torch.save(loaded, path, tmp_path / "out.onnx")
    assert changed_numbers(path, out) == {"w", "xs", "ws"}


def test_a_stored_weight_is_rounded_to_the_new_scale(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(stored(), path)
    loaded = onnxq.torch.load(path)
    with torch.no_grad():
        loaded.initializers["w"][0, 0] = 0.0349
        loaded.quantizers["w"].amax[0] *= 2
    out = onnx.load(onnxq.torch.save(loaded, path, tmp_path / "out.onnx"))
    numbers = {t.name: numpy_helper.to_array(t) for t in out.graph.initializer}
    assert numbers["w"][0, 0] == 2  # of 0.02 each
    np.testing.assert_allclose(numbers["ws"], [0.02, 0.02, 0.04])


def test_large_weights_stay_in_their_file(tmp_path):
    path = tmp_path / "model.onnx"
    proto = stored()
    proto.graph.initializer.add().CopyFrom(numpy_helper.from_array(np.ones(2048, np.int8), "big"))
    onnx.save(proto, path, save_as_external_data=True, location="model.data")
    loaded = onnxq.torch.load(path)
    with torch.no_grad():
        loaded.initializers["b"].add_(1)
    out = onnxq.torch.save(loaded, path, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx.data").stat().st_size >= 2048
    numbers = {t.name: numpy_helper.to_array(t) for t in onnx.load(out).graph.initializer}
    before = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    assert [n for n in numbers if not np.array_equal(numbers[n], before[n])] == ["b"]


def test_a_float16_model_keeps_its_types(tmp_path):
    path = tmp_path / "model.onnx"
    proto = in_float16(dotted(IN_FLOAT))
    onnx.save(proto, path)
    loaded = onnxq.torch.load(path)
    with torch.no_grad():
        for quantizer in loaded.quantizers.values():
            quantizer.amax.mul_(1.1)
    out = onnx.load(onnxq.torch.save(loaded, path, tmp_path / "out.onnx"))
    kinds = [{t.name: t.data_type for t in p.graph.initializer} for p in (proto, out)]
    assert kinds[0] == kinds[1]
    scale = next(numpy_helper.to_array(t) for t in out.graph.initializer if t.name == "xs")
    assert scale == np.float16(0.055)


def test_another_model_is_refused(tmp_path):
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path, proto in zip(paths, (stored(), dotted(IN_FLOAT)), strict=True):
        onnx.save(proto, path)
    with pytest.raises(OnnxqError, match=r"OQ707.*loaded from another model"):
        onnxq.torch.save(onnxq.torch.load(paths[0]), paths[1], tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    ("amax", "why"), [(-1.0, "not above zero"), (0.0, "not above zero"), (np.nan, "not finite")]
)
def test_an_amax_of_no_use_is_refused(tmp_path, amax, why):
    path = tmp_path / "model.onnx"
    onnx.save(stored(), path)
    loaded = onnxq.torch.load(path)
    with torch.no_grad():
        loaded.quantizers["x"].amax.fill_(amax)
    with pytest.raises(OnnxqError, match=f"OQ708.*'x'.*{why}"):
        onnxq.torch.save(loaded, path, tmp_path / "out.onnx")


def test_the_file_that_it_was_loaded_from_is_not_written_over(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(stored(), path)
    before = path.read_bytes()
    with pytest.raises(OnnxqError, match="OQ502"):
        onnxq.torch.save(onnxq.torch.load(path), path, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("convert", ["half", "double"])
def test_types_of_the_file_stay_whatever_those_of_the_module(tmp_path, convert):
    path = tmp_path / "model.onnx"
    onnx.save(dotted(IN_FLOAT), path)
    loaded = getattr(onnxq.torch.load(path), convert)()
    with torch.no_grad():
        loaded.initializers["layer.0.weight"].mul_(2)
    out = onnx.load(onnxq.torch.save(loaded, path, tmp_path / "out.onnx"))
    kinds = {t.name: t.data_type for t in out.graph.initializer}
    assert kinds == {t.name: t.data_type for t in onnx.load(path).graph.initializer}
    computed(out, x=np.ones((1, 4), np.float32))


def test_constant_nodes_are_written_in_whatever_form_they_were(tmp_path):
    path = tmp_path / "model.onnx"
    proto = stored()
    (scale,) = (t for t in proto.graph.initializer if t.name == "xs")
    proto.graph.initializer.remove(scale)
    proto.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["xs"], value_float=0.05))
    onnx.save(proto, path)
    loaded = onnxq.torch.load(path)
    with torch.no_grad():
        loaded.quantizers["x"].amax.mul_(2)
    out = onnxq.torch.save(loaded, path, tmp_path / "out.onnx")
    assert onnxq.torch.load(out).quantizers["x"].scale.item() == pytest.approx(0.1)


def test_values_that_are_not_finite_may_stay(tmp_path):
    path = tmp_path / "model.onnx"
    proto = dotted(IN_FLOAT)
    bias = next(t for t in proto.graph.initializer if t.name == "layer.0.bias")
    values = np.array([0, -np.inf, 1], np.float32)
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(proto, path)
    out = onnxq.torch.save(onnxq.torch.load(path), path, tmp_path / "out.onnx")
    assert changed_numbers(path, out) == set()


def test_large_integers_stay_as_they_are(tmp_path):
    text = """
    g (float[N, 3] x) => (float[N, 3] y) <float s = {0.001}, int32[3] b> {
        d = DequantizeLinear (b, s)
        y = Add (x, d)
    }
    """
    proto = dotted(text)
    (bias,) = (t for t in proto.graph.initializer if t.name == "b")
    values = np.array([123456789, 2**31 - 1, -5], np.int32)
    bias.CopyFrom(numpy_helper.from_array(values, "b"))
    onnx.save(proto, tmp_path / "model.onnx")
    loaded = onnxq.torch.load(tmp_path / "model.onnx")
    out = onnxq.torch.save(loaded, tmp_path / "model.onnx", tmp_path / "out.onnx")
    assert changed_numbers(tmp_path / "model.onnx", out) == set()
