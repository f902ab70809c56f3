"""Shapes of the tensors of a model, for inputs of given shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import helper

from onnxq.model.graph import Graph
from onnxq.sessions import open_session, with_outputs

Sizes = tuple[int, ...]


class Shapes:
    """Sizes of tensors when dynamic inputs have the given shapes.

    They come from onnx's shape inference; where that gives up, from one run in onnxruntime on
    zeros. A size that depends on the data is that of zeros then.
    """

    def __init__(self, model: onnx.ModelProto, inputs: Mapping[str, Sizes]) -> None:
        self._model = model
        self._graph = Graph(model, shapes=inputs)
        self._observed: dict[str, Sizes] = {}

    def sizes(self, tensor: str) -> Sizes | None:
        """The sizes of a tensor; None when they are not known."""
        shape = self._graph.type(tensor).shape
        sizes = tuple(d for d in shape or () if isinstance(d, int) and d >= 0)
        if shape is not None and len(sizes) == len(shape):
            return sizes
        return self._observed.get(tensor)

    def observe(self, tensors: Iterable[str]) -> None:
        """Run the model, if the sizes of some of the tensors are not known, and look at those."""
        wanted = [t for t in dict.fromkeys(tensors) if t and self.sizes(t) is None]
        made = [t for t in wanted if self._graph.producer(t) and not self._graph.home(t)]
        feed = {name: self._zeros(name) for name in self._graph.inputs}
        if not made or any(value is None for value in feed.values()):
            return
        try:
            session = open_session(with_outputs(self._model, made))
            self._observed = {
                name: value.shape for name, value in zip(made, session.run(made, feed), strict=True)
            }
        except Exception:  # a model that onnxruntime cannot run: its shapes stay unknown
            return

    def _zeros(self, name: str) -> object:
        sizes, dtype = self.sizes(name), self._graph.type(name).dtype
        if sizes is None or not dtype:
            return None
        return np.zeros(sizes, helper.tensor_dtype_to_np_dtype(dtype))
