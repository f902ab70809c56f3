"""What every metric can do, and the outputs of a model that it judges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import onnx
from numpy.typing import NDArray

from onnxq.feeds.samples import Sample
from onnxq.sessions import Libraries, open_session, run


class Scorer(Protocol):
    """A metric: `name` is for people; `digest` (hex) changes when the metric does."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def digest(self) -> str: ...  # noqa: D102

    def score(
        self, model: onnx.ModelProto, samples: Sequence[Sample], libraries: Libraries = ()
    ) -> float:
        """How good the model is on the samples, a finite number; higher is better."""
        ...


def model_outputs(
    model: onnx.ModelProto, samples: Sequence[Sample], libraries: Libraries
) -> Iterator[dict[str, NDArray[Any]]]:
    """The outputs of the model as written on each sample, by name (OQ305).

    Threads of onnxruntime sleep between the samples, so that the metric has the cores.
    """
    session = open_session(model, as_written=True, spinning=False, libraries=libraries)
    names = [output.name for output in session.get_outputs()]
    for sample in samples:
        arrays = run(session, names, sample)
        yield {name: arrays[name] for name in names}
