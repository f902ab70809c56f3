"""Data of a call: the request that opens it, and what a user should know before it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxq.feeds import DataRequest, Feed
from onnxq.feeds import preprocess as preprocessing
from onnxq.feeds.preprocess import DEFAULT, Preprocess
from onnxq.feeds.samples import shape_text

Shapes = Mapping[str, Sequence[int]]
PathOrPaths = str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which samples of the data are used, and how many at once: see `DataRequest`."""

    samples: int | None = None
    seed: int | None = None
    batch: int | None = None
    ragged: bool = False


def request(
    data: Any,
    preprocess: str | Path | Preprocess | None,
    selection: Selection,
    shapes: Shapes,
    *,
    recorded: str = "",
    usual_shapes: Shapes | None = None,
) -> DataRequest:
    """The request for some data.

    `recorded` is the preprocessing (JSON) of the calibration, `usual_shapes` are of pictures and
    random data, for what the caller does not say.
    """
    named = _preprocess(preprocess)
    return DataRequest(
        source=data,
        shapes=shapes,
        otherwise_shapes=usual_shapes or {},
        preprocess=named,
        preprocess_file=Path(preprocess) if isinstance(preprocess, str | Path) else None,
        otherwise=preprocessing.from_json(recorded) if recorded and named is None else None,
        samples=selection.samples,
        seed=selection.seed,
        batch=selection.batch,
        ragged=selection.ragged,
    )


def _preprocess(preprocess: str | Path | Preprocess | None) -> Preprocess | None:
    if preprocess is None or isinstance(preprocess, Preprocess):
        return preprocess
    return preprocessing.load(str(preprocess))


def notes(
    feed: Feed,
    preprocess: str | Path | Preprocess | None,
    *,
    as_calibrated: bool = False,
    usual: Shapes | None = None,
) -> Iterator[str]:
    """How pictures become inputs, and who chose that and sizes: the calibration, or a profile.

    `usual` are the usual shapes of profiles.
    """
    if feed.preprocess is not None:
        default = f"{DEFAULT}, the default; --preprocess changes it"
        named = "as given" if isinstance(preprocess, Preprocess) else preprocess
        chosen = named or ("as calibrated" if as_calibrated else default)
        yield f"preprocess: {feed.preprocess} ({chosen})"
    for name, (batch, *sizes) in feed.filled.items():
        why = "the usual one" if name in (usual or {}) else "as calibrated"
        yield f"shape: {name}:{shape_text((batch or feed.batch.size, *sizes))} ({why})"
