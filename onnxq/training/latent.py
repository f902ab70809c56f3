"""Float values behind weights that are stored in integers, from the teacher.

A stored weight stands in the middle of the interval that is rounded to it, and nothing changes
before it has moved by half a step. Its value in the float model, kept inside of that interval,
rounds to the same integer, and those near an end may become another integer soon.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from onnxq.model.graph import Graph
from onnxq.torch.module import QuantizedModule
from onnxq.torch.pairs import QuantizedTensor
from onnxq.torch_graph.fake_quantization import spread

_END: Final = 0.49  # of a step from the middle: safe from rounding errors
_NEAR: Final = 2.0  # steps between the integer and the teacher's value, in the mean, at most


def take_values_of(teacher: Graph, module: QuantizedModule, graph: Graph) -> int:
    """Give the stored weights of a module values of the teacher that round to the same integers.

    Returns how many weights have them: those that the same node of the teacher reads in the same
    shape, unless they became others since, as by equalization. `graph` is that of the module.
    """
    count = 0
    for quantizer in module.quantizers.values():
        values = _values(teacher, graph, quantizer.of) if quantizer.of.stored else None
        parameter = module.initializers[quantizer.of.tensor] if values is not None else None
        if values is None or parameter is None or values.shape != tuple(parameter.shape):
            continue
        with torch.no_grad():
            step = spread(quantizer.of.grid, quantizer.scale, parameter)
            whole = (parameter / step).round()
            away = torch.from_numpy(values) / step - whole
            if quantizer.of.grid.is_integer and float(away.abs().mean()) <= _NEAR:
                parameter.copy_((whole + away.clamp(-_END, _END)) * step)
                count += 1
    return count


def _values(teacher: Graph, graph: Graph, pair: QuantizedTensor) -> NDArray[np.float32] | None:
    """What the teacher has in place of a stored weight."""
    dequantized = graph.by_name[pair.node].outputs[0]
    for edge in graph.consumers(dequantized):
        node = teacher.by_name.get(edge.node)
        tensor = node.inputs[edge.slot] if node and edge.slot < len(node.inputs) else ""
        if teacher.is_constant(tensor):
            return np.array(teacher.array(tensor), np.float32)
    return None
