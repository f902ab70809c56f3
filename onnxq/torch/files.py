"""Q/DQ models read as torch modules, and written back by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from onnxq.diagnostics import OnnxqError, error
from onnxq.model import io as models
from onnxq.model import weights
from onnxq.model.constants import Constants
from onnxq.model.io import ModelFile
from onnxq.model.loading import Model
from onnxq.model.loading import load as load_model
from onnxq.model.scopes import scopes
from onnxq.outputs import require_writable
from onnxq.quantization import representable
from onnxq.torch.module import QuantizedModule
from onnxq.torch.pairs import QuantizedTensor
from onnxq.torch.quantizer import Quantizer
from onnxq.torch_graph.fake_quantization import spread

Array = NDArray[Any]


def load(
    model: str | Path | onnx.ModelProto | Model,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> QuantizedModule:
    """Return a Q/DQ model, or a float one, as a torch module.

    Raises OQ702 for an operator that torch cannot compute, OQ703 for a pair that cannot be trained,
    and what `onnxq.load` raises. The module is on the CPU, with all pairs on.
    """
    return QuantizedModule(load_model(model, existing="keep", shapes=shapes).graph)


def save(
    module: QuantizedModule, model: str | Path | onnx.ModelProto | Model, output: str | Path
) -> Path:
    """Write the model of a module with the weights and scales that the module has now.

    `model` is what the module was loaded from; only numbers in it change, those that are equal stay
    as they are, bit for bit. A weight that it stores in integers is rounded. Returns the
    path. Raises OQ707 where the module is of another model, OQ708 where it has an amax or a weight
    that is of no use, OQ501 and OQ502.
    """
    output = Path(output)
    file = model_file(model)
    require_writable({"the model": output}, file.files)
    models.save(written(module, file), output, external=bool(file.data_files))
    return output


def model_file(model: str | Path | onnx.ModelProto | Model) -> ModelFile:
    """A model as its file has it, or a copy of a ModelProto (OQ301, OQ302)."""
    if isinstance(model, Model):
        source = model.folder / model.path if model.path else model.unprepared or model.proto
        return model_file(source)
    return models.copied(model) if isinstance(model, onnx.ModelProto) else models.read(model)


def written(module: QuantizedModule, file: ModelFile) -> onnx.ModelProto:
    """The model of a file with the numbers of a module, a new one (OQ707, OQ708)."""
    model = onnx.ModelProto()
    model.CopyFrom(file.proto)
    stored = Constants(model.graph).stored()
    for name, array in _changes(module, stored, file.name):
        tensor = numpy_helper.from_array(array, stored[name].name)
        if not _replace(model, name, tensor):
            raise error(
                "OQ707",
                f"'{name}' is stored in a sparse tensor, which cannot be written",
                fix="store it as an ordinary initializer",
            )
    return model


def _replace(model: onnx.ModelProto, name: str, tensor: onnx.TensorProto) -> bool:
    """Give a constant of a model other values, in place; False where it is neither form."""
    for _, graph in scopes(model.graph):
        for initializer in graph.initializer:
            if initializer.name == name:
                initializer.CopyFrom(tensor)
                return True
        for node in graph.node:
            if node.op_type == "Constant" and name in node.output:
                del node.attribute[:]
                node.attribute.append(onnx.helper.make_attribute("value", tensor))
                return True
    return False


def _changes(
    module: QuantizedModule, stored: Mapping[str, onnx.TensorProto], file: str
) -> Iterator[tuple[str, Array]]:
    """The constants of a file that the module has otherwise, in the types of the file (OQ707)."""
    scales: dict[str, Array] = {}
    integers: dict[str, QuantizedTensor] = {}
    with torch.no_grad():
        for quantizer in module.quantizers.values():
            for name in quantizer.of.scales:
                scales[name] = _scale(quantizer, _array(stored, name, quantizer.amax, file), name)
            if quantizer.of.stored:
                integers[quantizer.of.tensor] = quantizer.of
        for name, parameter in module.initializers.items():
            before = _array(stored, name, parameter, file)
            values = parameter.detach().cpu()
            if name in integers:
                pair = integers[name]
                array = _integers(values, scales[pair.scales[0]], pair, before)
            else:
                array = values.double().numpy().astype(before.dtype)
            if not np.array_equal(array, before, equal_nan=name not in integers):
                yield name, _finite(array, values, name)
    for name, scale in scales.items():
        if not np.array_equal(scale, weights.array(stored[name])):
            yield name, scale


def _array(
    stored: Mapping[str, onnx.TensorProto], name: str, parameter: Tensor, file: str
) -> Array:
    """A constant of the file, in the shape of the parameter that was loaded from it (OQ707)."""
    tensor = stored.get(name)
    if tensor is None or tuple(tensor.dims) != tuple(parameter.shape):
        raise error(
            "OQ707",
            f"'{file}' has no constant '{name}' of shape {list(parameter.shape)}: the module was "
            "loaded from another model, or from one whose opset or local functions had to change",
            fix="give the file that it was loaded from; for the latter, write "
            "onnxq.load(file, existing='keep').proto to a file first and load that",
        )
    return weights.array(tensor)


def _scale(quantizer: Quantizer, before: Array, name: str) -> Array:
    """The scale to write: that of the file as long as amax is what it was."""
    amax, largest = quantizer.amax.detach().float().cpu(), quantizer.largest
    if torch.equal(amax, torch.from_numpy(np.array(before, np.float32)) * largest):
        return before
    scale = _finite(amax.numpy(), amax, quantizer.of.name) / np.float32(largest)
    if not (scale > 0).all():
        raise _unusable(f"the amax of '{quantizer.of.name}' is not above zero")
    is_half = before.dtype != np.float32
    return np.asarray(representable(scale, before.dtype) if is_half else scale, before.dtype)


def _integers(values: Tensor, scale: Array, pair: QuantizedTensor, before: Array) -> Array:
    """What a QuantizeLinear makes of values; the integers of before where these give the same."""
    x, grid = values.double(), pair.grid
    steps = x / spread(grid, torch.from_numpy(np.array(scale, np.float64)), x)
    steps = steps.round() if grid.is_integer else steps
    limited = steps.clamp(grid.lowest, grid.largest) + pair.zero_point
    exact = limited.nan_to_num().numpy()
    old = before.astype(np.float64)
    close = np.abs(exact - old) <= 2.0**-23 * np.abs(old)  # float32 has not all of int32
    return np.where(close, old, exact).astype(before.dtype)


def _finite(array: Array, values: Tensor, name: str) -> Array:
    """The array of a tensor, if that is finite (OQ708)."""
    if not bool(values.isfinite().all()):
        raise _unusable(f"'{name}' has values that are not finite")
    return array


def _unusable(why: str) -> OnnxqError:
    return error("OQ708", why, fix="train with a lower rate, from the last good state")
