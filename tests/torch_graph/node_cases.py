"""The test cases of onnx's own backend for single operators."""

import importlib
import pkgutil
import warnings
from functools import cache

from onnx import numpy_helper
from onnx.backend.test.case import node as backend

# Of modules whose name is not that of the operator.
_MODULES = {"Range": "rangeop"}


@cache
def cases_of(op):
    """The cases whose model is one node of that operator, made when they are asked for."""
    by_name = {m.name.replace("_", ""): m.name for m in pkgutil.iter_modules(backend.__path__)}
    module = _MODULES.get(op) or by_name[op.lower()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(f"{backend.__name__}.{module}")
    return [
        case
        for case in backend._NodeTestCases
        if [n.op_type for n in case.model.graph.node] == [op]
    ]


def samples_of(case):
    """Inputs and expected outputs of a case, by name; values that are no tensors are left out."""
    graph = case.model.graph
    for inputs, outputs in case.data_sets:
        yield tuple(
            {
                v.name: numpy_helper.to_array(a) if hasattr(a, "raw_data") else a
                for v, a in zip(infos, arrays, strict=True)
            }
            for infos, arrays in ((graph.input, inputs), (graph.output, outputs))
        )
