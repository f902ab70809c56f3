"""Sizes of the tensors of a model, for given shapes of its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxq.diagnostics import OnnxqError
from onnxq.feeds.samples import Sample, Tensors, array_type
from onnxq.model.graph import Graph
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.runnable import runnable
from onnxq.sessions import Libraries, open_session, run

Sizes = tuple[int, ...]


class Shapes:
    """Sizes of tensors when dynamic inputs have the given shapes. `libraries` have custom ops.

    They come from onnx's shape inference, else from a run in onnxruntime, on zeros where there is
    no sample. A size that depends on the data then is the size for these.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        graph: Graph,
        inputs: Mapping[str, Sizes],
        libraries: Libraries = (),
    ) -> None:
        self._model, self._libraries = model, libraries
        self._graph = graph.with_shapes(model, inputs)
        self._observed: dict[str, Sizes] = {}

    def sizes(self, tensor: str) -> Sizes | None:
        """The sizes of a tensor; None when they are not known."""
        shape = self._graph.type(tensor).shape
        sizes = tuple(d for d in shape or () if isinstance(d, int) and d >= 0)
        if shape is not None and len(sizes) == len(shape):
            return sizes
        return self._observed.get(tensor)

    def observe(self, tensors: Iterable[str], sample: Tensors | None = None) -> None:
        """Run the model if sizes of these tensors are unknown, and keep the sizes."""
        wanted = [t for t in dict.fromkeys(tensors) if t and self.sizes(t) is None]
        inner = [t for t in wanted if self._graph.producer(t) and not self._graph.home(t)]
        feed = self._feed() if sample is None else sample
        if not inner or feed is None:
            return
        part = runnable(self._model, self._libraries)
        model = self._model if part is None else part.model
        inner = [t for t in inner if part is None or t not in part.behind]
        try:
            session = open_session(with_inner_outputs(model, inner), libraries=self._libraries)
            values = run(session, inner, Sample(name="sizes", tensors=feed, digest=""))
        except OnnxqError:  # a model that onnxruntime cannot run: its shapes stay unknown
            return
        self._observed = {name: values[name].shape for name in inner}

    def _feed(self) -> Tensors | None:
        """Zeros for every input; None where the sizes of one are not known."""
        zeros = {name: self._zeros(name) for name in self._graph.inputs}
        known = {name: array for name, array in zeros.items() if array is not None}
        return known if len(known) == len(zeros) else None

    def _zeros(self, name: str) -> NDArray[Any] | None:
        sizes, dtype = self.sizes(name), self._graph.type(name).dtype
        if sizes is None or not dtype:
            return None
        return np.zeros(sizes, array_type(dtype))
