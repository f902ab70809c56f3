"""Values of tensors of a model, one sample at a time, so that memory holds those of one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray

from onnxq.feeds.samples import Sample, Tensors
from onnxq.model.inner_outputs import INSIDE, with_inner_outputs
from onnxq.model.pruning import keep_outputs
from onnxq.sessions import Libraries, open_session, run


class Capture:
    """A session that gives out inner tensors; it computes nothing that they do not need.

    `tensors` may be inputs, inner tensors and outputs. A model with Q/DQ pairs is run as it is
    written, a float model with onnxruntime's optimizations. Tensors in bodies of If, Loop and Scan
    come as flat arrays (`with_inner_outputs`). Raises OQ305.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        tensors: Iterable[str],
        *,
        threads: int | None = None,
        libraries: Libraries = (),
    ) -> None:
        inputs = {i.name for i in model.graph.input}
        wanted = dict.fromkeys(tensors)
        self._inputs = [name for name in wanted if name in inputs]
        self._computed = [name for name in wanted if name not in inputs]
        if self._computed:
            opened = with_inner_outputs(model, self._computed)
            keep_outputs(opened.graph, {p + name for name in self._computed for p in ("", INSIDE)})
            self._session = open_session(
                opened, threads=threads, spinning=False, libraries=libraries
            )

    def run(self, sample: Tensors, *, called: str = "a sample") -> dict[str, NDArray[Any]]:
        """The tensors of one sample by name; OQ305 calls the sample so."""
        values = sample
        if self._computed:
            whole = Sample(name=called, tensors=sample, digest="")
            values = run(self._session, self._computed, whole)
        return {name: values[name] for name in (*self._inputs, *self._computed)}


def captured(
    model: onnx.ModelProto,
    tensors: Iterable[str],
    samples: Sequence[Tensors],
    *,
    threads: int | None = None,
    libraries: Libraries = (),
) -> Iterator[dict[str, NDArray[Any]]]:
    """The tensors of each sample by name, in the order of the samples (OQ305)."""
    capture = Capture(model, tensors, threads=threads, libraries=libraries)
    for number, sample in enumerate(samples, start=1):
        yield capture.run(sample, called=f"sample {number}")
