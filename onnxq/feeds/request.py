"""What was asked for, as plain data, and the way from there to a feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Final

from onnxq.diagnostics import Diagnostic, error
from onnxq.feeds.checks import none_full, not_full, too_few
from onnxq.feeds.feed import Feed
from onnxq.feeds.forms import FORMS, Opened, Wish
from onnxq.feeds.in_memory import DataSource, Iterated, for_passes
from onnxq.feeds.places import Place, absolute, locate, path_of
from onnxq.feeds.preprocess import Preprocess
from onnxq.feeds.samples import InputSpec, input_specs
from onnxq.feeds.selection import pick
from onnxq.model.graph import Graph, Shape

_MOST: Final = 2**31 - 1
_SIZELESS: Final = ("pictures", "random")  # kinds of data that take any size


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRequest:
    """Data as it was asked for.

    `source` is the path of files, 'random' for random data, or data in memory: an array of samples,
    a mapping of arrays by input name, an iterable of samples, or a function that makes one. A
    request for files can be pickled, and opened in another process; data that is an iterator can
    be read only once. `preprocess` is for pictures alone; `otherwise` is used when
    there is none, and `otherwise_shapes` for the sizes that data without a size of its own needs
    and `shapes` does not give; the batch is no part of them. `samples` are drawn with `seed`, or
    spread evenly; `batch` puts so many into one run of the model; `ragged` permits shapes that
    differ between samples.
    """

    source: DataSource | Iterated
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    otherwise_shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    preprocess: Preprocess | None = None
    otherwise: Preprocess | None = None
    samples: int | None = None
    seed: int | None = None
    batch: int | None = None
    ragged: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", for_passes(self.source))

    @property
    def path(self) -> Path | None:
        """The file or folder that is read; None for data in memory."""
        return path_of(self.source) if isinstance(self.source, str | PathLike) else None

    def absolute(self) -> DataRequest:
        """The same, for a process that works in another folder (OQ434 for data in memory)."""
        return replace(self, source=absolute(self.source))

    def open(self, graph: Graph) -> Feed:
        """Open the data for a model. Raises OQ401 to OQ406 and OQ420 to OQ428."""
        self._check()
        inputs = input_specs(graph, self.shapes)
        place = self._place()
        filled = self._filled(inputs) if place.kind in _SIZELESS else {}
        inputs = tuple(replace(spec, shape=filled.get(spec.name, spec.shape)) for spec in inputs)
        if self.preprocess is not None and place.kind != "pictures":
            raise error(
                "OQ406",
                f"a preprocessing is for pictures, and the data is {place.described}",
                fix="leave out --preprocess, or give pictures",
            )
        if self.seed is not None and self.samples is None and place.kind != "random":
            raise error("OQ420", "--seed draws samples, and --samples is missing", fix="give both")
        wish = Wish(
            inputs=inputs,
            batch=self.batch,
            how=self.preprocess,
            otherwise=self.otherwise,
            samples=self.samples,
            seed=self.seed,
            ragged=self.ragged,
        )
        opened = FORMS[place.kind](place, wish)
        picked = pick(opened.source.length, self.samples, self.seed)
        if not self.ragged and opened.source.length is not None and picked is not None:
            opened.source.require_alike(picked)
        return Feed(
            source=opened.source,
            inputs=inputs,
            picked=picked,
            batch=opened.batch,
            alike=opened.source.length is None and not self.ragged,
            preprocess=opened.preprocess,
            unreal=opened.unreal,
            filled=filled,
            notes=(*place.notes, *opened.notes, *self._missing(opened, picked)),
        )

    def _place(self) -> Place:
        if isinstance(self.source, str | PathLike):
            return locate(self.source)
        return Place(kind="in memory", data=self.source)

    def _filled(self, inputs: Sequence[InputSpec]) -> dict[str, Shape]:
        """By input: its shape with unknown sizes, but for the batch, from `otherwise_shapes`."""
        found = {}
        for spec in (s for s in inputs if None in s.shape[1:]):
            usual = self.otherwise_shapes.get(spec.name, ())
            if len(usual) == len(spec.shape):
                sizes = zip(spec.shape[1:], usual[1:], strict=True)
                found[spec.name] = (spec.shape[0], *(u if d is None else d for d, u in sizes))
        return found

    def _check(self) -> None:
        for name, value in (("--samples", self.samples), ("--batch", self.batch)):
            if value is not None and value < 1:
                raise error("OQ420", f"{name} {value} asks for nothing", fix="give 1 or more")
            if value is not None and value > _MOST:
                raise error("OQ420", f"{name} {value} is too many", fix=f"give {_MOST:,} or fewer")
        if self.seed is not None and self.seed < 0:
            raise error("OQ420", f"--seed {self.seed} is negative", fix="give 0 or more")
        if self.ragged and self.batch not in (None, 1):
            raise error(
                "OQ420",
                "--ragged and --batch: samples of different shapes make no batch",
                fix="leave one of them out",
            )

    def _missing(self, opened: Opened, picked: Sequence[int] | None) -> list[Diagnostic]:
        """What is known to be missing before anything is read; OQ426 when nothing is left."""
        if opened.source.length is None or picked is None:
            return []
        found = too_few(opened.source.length, self.samples)
        batch = opened.batch
        if batch.whole and len(picked) < batch.size:
            raise none_full(len(picked), batch)
        return found + (not_full(len(picked) % batch.size, batch) if batch.whole else [])
