"""data_loader: the samples that a call would read, for other tools."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from onnxq.api import data as datasets
from onnxq.api.data import Selection, Shapes
from onnxq.diagnostics import Diagnostic
from onnxq.feeds import Feed
from onnxq.feeds.preprocess import Preprocess
from onnxq.feeds.samples import Tensors, shape_text
from onnxq.model.loading import Model, load
from onnxq.shown import Shown


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DataLoader(Shown):
    """Data as a model takes it: an iteration gives a dictionary of arrays by input name a batch.

    Each iteration reads the data anew. `notes` say how pictures become inputs.
    """

    feed: Feed
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Tensors]:
        return (sample.tensors for sample in self.feed)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The warnings of the last iteration, such as pictures that cannot be read."""
        return tuple(self.feed.warnings)

    def to_dict(self) -> dict[str, Any]:
        """The inputs, the number of samples (None where only the end tells it), and the notes."""
        return {
            "samples": self.feed.length,
            "inputs": {
                spec.name: {"type": str(spec.dtype), "shape": shape_text(spec.shape)}
                for spec in self.feed.inputs
            },
            "notes": list(self.notes),
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }


def data_loader(
    model: str | Path | ModelProto | Model,
    data: Any,
    *,
    preprocess: str | Path | Preprocess | None = None,
    shapes: Shapes | None = None,
    samples: int | None = None,
    seed: int | None = None,
    batch: int | None = None,
    ragged: bool = False,
) -> DataLoader:
    """Return the samples that `calibrate` and `verify` would read, checked against the model.

    The arguments are those of `calibrate`. The model may have Q/DQ pairs: only its inputs count.
    Iterating raises OQ4xx for a sample that does not fit.
    Raises OQ301 to OQ307, OQ401 to OQ406 and OQ420 to OQ428.
    """
    model = load(model, existing="refuse" if isinstance(model, Model) else "keep", shapes=shapes)
    selection = Selection(samples=samples, seed=seed, batch=batch, ragged=ragged)
    feed = datasets.request(data, preprocess, selection, model.shapes).open(model.graph)
    return DataLoader(feed=feed, notes=tuple(datasets.notes(feed, preprocess)))
