"""What insert leaves alone, on a trained model that is decorated with everything it could lose."""

import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.cli.forked import onnxq
from tests.command import succeeded

from .conftest import sha256


def decorated(path, source):
    """A copy of a model with notes everywhere, and with initializers that nobody reads."""
    model = onnx.load(source)
    model.doc_string, model.graph.doc_string = "a model's note", "a graph's note"
    model.producer_name, model.producer_version, model.domain = "tests", "7", "example.com"
    model.model_version = 12
    model.metadata_props.add(key="classes", value="cat,dog")
    for index, node in enumerate(model.graph.node):
        node.doc_string = f"node {index}"
    for index, tensor in enumerate(model.graph.initializer):
        tensor.doc_string = f"tensor {index}"
    for value in (*model.graph.input, *model.graph.output):
        value.doc_string = f"about {value.name}"
    unused = numpy_helper.from_array(np.arange(3.0, dtype=np.float32), "nobody_reads_this")
    model.graph.initializer.append(unused)
    onnx.save(model, path)
    return model


@pytest.fixture(scope="module")
def both(tmp_path_factory, quantized_yolox):
    """The decorated YOLOX of opset 11 and its Q/DQ model."""
    folder = tmp_path_factory.mktemp("decorated")
    before = decorated(folder / "model.onnx", quantized_yolox.model)
    shutil.copytree(quantized_yolox.folder / "others", folder / "imgs")
    succeeded(
        onnxq("calibrate", "model.onnx", "--data", "imgs", "--preprocess", "yolox", cwd=folder)
    )
    digest = sha256(folder / "model.onnx")
    succeeded(onnxq("insert", "--rules", "yolo", cwd=folder))
    assert sha256(folder / "model.onnx") == digest
    return before, onnx.load(folder / "model.qdq.onnx")


def test_model_fields(both):
    before, after = both
    for field in ("doc_string", "producer_name", "producer_version", "domain", "model_version"):
        assert getattr(after, field) == getattr(before, field), field
    assert after.graph.doc_string == before.graph.doc_string
    assert after.graph.name == before.graph.name


def test_metadata(both):
    _, after = both
    kept = {p.key: p.value for p in after.metadata_props}
    assert kept["classes"] == "cat,dog"
    assert {k for k in kept if k.startswith("onnxq.")} == {
        "onnxq.version", "onnxq.recipe", "onnxq.plan", "onnxq.statistics", "onnxq.preprocess",
        "onnxq.float",
    }  # fmt: skip


def test_inputs_and_outputs(both):
    before, after = both
    weights = {t.name for t in before.graph.initializer}
    inputs = [i for i in before.graph.input if i.name not in weights]
    assert [i for i in after.graph.input if i.name not in weights] == inputs
    assert list(after.graph.output) == list(before.graph.output)


def test_nodes_keep_name_note_and_outputs(both):
    before, after = both
    nodes = {n.name: n for n in after.graph.node}
    assert len(nodes) == len(after.graph.node)
    for node in before.graph.node:
        assert nodes[node.name].doc_string == node.doc_string
        assert list(nodes[node.name].output) == list(node.output)
        assert nodes[node.name].op_type == node.op_type


def test_initializers_keep_note_and_values(both):
    before, after = both
    kept = {t.name: t for t in after.graph.initializer}
    read = {name for n in before.graph.node for name in n.input if n.op_type == "Conv"}
    for tensor in before.graph.initializer:
        if tensor.name in kept:
            assert kept[tensor.name].doc_string == tensor.doc_string
            assert kept[tensor.name].raw_data == tensor.raw_data
        else:
            assert tensor.name in read, tensor.name  # a weight, now int8
    assert "nobody_reads_this" in kept


def test_the_file_shrinks_to_a_quarter(quantized_yolox):
    assert quantized_yolox.qdq.stat().st_size < 0.3 * quantized_yolox.model.stat().st_size


def test_only_the_opset_and_the_wiring_differ(both):
    before, after = both
    assert {(o.domain, o.version) for o in before.opset_import} == {("", 11)}
    assert {(o.domain, o.version) for o in after.opset_import} == {("", 13)}
    new = [n for n in after.graph.node if n.name not in {b.name for b in before.graph.node}]
    assert {n.op_type for n in new} == {"QuantizeLinear", "DequantizeLinear"}
