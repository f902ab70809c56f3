"""onnx's own backend models and node cases that have a float Conv, Gemm or MatMul somewhere."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


@dataclass(frozen=True)
class Case:
    """A model and one set of inputs for it, by name; None when they are no tensors."""

    name: str
    model: onnx.ModelProto
    inputs: dict[str, np.ndarray] | None


def cases() -> Iterator[Case]:
    """Every case, read or made one at a time."""
    for folder in ("simple", "pytorch-operator", "pytorch-converted"):
        for path in sorted((DATA / folder).iterdir()):
            yield from _of(f"{folder}/{path.name}", onnx.load(path / "model.onnx"), _read(path))
    for path in sorted((DATA / "light").glob("*.onnx")):
        yield from _of(f"light/{path.stem}", onnx.load(path), None)
    for made in _node_cases():
        yield from _of(made.name, made.model, made.data_sets[0][0] if made.data_sets else None)


def _node_cases():
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # casts that overflow are what some cases are about
        return collect_testcases(None)


def _of(name, model, values) -> Iterator[Case]:
    if any(n.op_type in WEIGHTED for n in all_nodes(model)):
        yield Case(name=name, model=model, inputs=_named(model, values))


def all_nodes(model) -> Iterator[onnx.NodeProto]:
    """Nodes of a model, of its subgraphs and of its functions."""
    for nodes in (model.graph.node, *(f.node for f in model.functions)):
        yield from _with_inner(nodes)


def _with_inner(nodes):
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _with_inner(inner.node)


def _read(folder):
    files = sorted((folder / "test_data_set_0").glob("input_*.pb"))
    return [numpy_helper.to_array(onnx.load_tensor(file)) for file in files]


def _named(model, values):
    stored = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in stored]
    if values is None:
        rng = np.random.default_rng(0)
        values = [_random(rng, i.type.tensor_type) for i in inputs]
    found = dict(zip((i.name for i in inputs), values, strict=False))
    return found if all(isinstance(v, np.ndarray) for v in found.values()) else None


def _random(rng, kind):
    shape = [d.dim_value or 1 for d in kind.shape.dim]
    return rng.normal(size=shape).astype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
