"""A chain of MatMuls with random weights, written a few rows at a time."""

import itertools

import numpy as np
from onnx import TensorProto, helper


def write(path, sizes, *, external, opset=17):
    """Write a model from sizes[0] inputs through MatMuls of sizes[i] x sizes[i + 1], float32.

    With `external` the weights are in `path`.weights, else in the model file, which must then have
    less than 2 GB. Returns the bytes of the weights.
    """
    shapes = list(itertools.pairwise(sizes))
    tensors = [f"h{i}" for i in range(len(sizes))]
    nodes = [
        helper.make_node("MatMul", [tensors[i], f"w{i}"], [tensors[i + 1]], name=f"matmul{i}")
        for i in range(len(shapes))
    ]
    ports = [
        helper.make_tensor_value_info(tensors[i], TensorProto.FLOAT, ["N", sizes[i]])
        for i in (0, -1)
    ]
    graph = helper.make_graph(nodes, "chain", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if external:
        _write_data(path.with_name(f"{path.name}.weights"), model, shapes)
    else:
        for index, shape in enumerate(shapes):
            raw = b"".join(_blocks(index, shape))
            model.graph.initializer.add(
                name=f"w{index}", data_type=TensorProto.FLOAT, dims=shape, raw_data=raw
            )
    path.write_bytes(model.SerializeToString())
    return sum(4 * rows * columns for rows, columns in shapes)


def _write_data(path, model, shapes):
    with path.open("wb") as file:
        for index, shape in enumerate(shapes):
            tensor = model.graph.initializer.add(
                name=f"w{index}", data_type=TensorProto.FLOAT, dims=shape,
                data_location=TensorProto.EXTERNAL,
            )  # fmt: skip
            entries = {"location": path.name, "offset": file.tell(), "length": 4 * np.prod(shape)}
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=str(value))
            file.writelines(_blocks(index, shape))


def _blocks(seed, shape):
    """The bytes of a weight: random rows, which come again in other sizes."""
    rows, columns = shape
    rng = np.random.default_rng(seed)
    block = rng.standard_normal((min(rows, 256), columns), np.float32) / np.float32(rows**0.5)
    for first in range(0, rows, len(block)):
        yield (block[: rows - first] * np.float32(1 + first / rows)).tobytes()
