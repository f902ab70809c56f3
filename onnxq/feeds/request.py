"""A request for data, and how it is opened as a feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Final

from onnxq.diagnostics import Diagnostic, OnnxqError, error
from onnxq.feeds.checks import none_full, not_full, too_few
from onnxq.feeds.feed import Feed
from onnxq.feeds.forms import FORMS, OpenedData, OpenOptions
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
    be read only once. `preprocess` is for pictures only, and may have been read from a file;
    `otherwise` is used when there is none.
    `otherwise_shapes` are for pictures and random data, which take any size: they fill the sizes,
    except the batch, that neither the model nor `shapes` fixes. So many `samples` are drawn with
    `seed`, or spread evenly; `batch` is their number in one run of the model; `ragged` permits
    shapes that differ between samples.
    """

    source: DataSource | Iterated
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    otherwise_shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    preprocess: Preprocess | None = None
    preprocess_file: Path | None = None
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

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read, which must not be overwritten; none of data in memory."""
        own = () if self.preprocess_file is None else (self.preprocess_file,)
        try:
            return (*self._place().files, *own)
        except OnnxqError:  # opening the data says what is wrong
            return own

    def absolute(self) -> DataRequest:
        """The same, for a process that works in another folder (OQ434 for data in memory)."""
        return replace(self, source=absolute(self.source))

    def open(self, graph: Graph) -> Feed:
        """Open the data for a model. Raises OQ401 to OQ406 and OQ420 to OQ428."""
        self._check()
        inputs = input_specs(graph, self.shapes)
        place = self._place()
        filled = self._filled(inputs) if place.kind in _SIZELESS else {}
        inputs = tuple(
            replace(spec, shape=filled[spec.name], any_rank=False) if spec.name in filled else spec
            for spec in inputs
        )
        if self.preprocess is not None and place.kind != "pictures":
            raise error(
                "OQ406",
                f"a preprocessing is for pictures, and the data is {place.described}",
                fix="leave out --preprocess, or give pictures",
            )
        if self.seed is not None and self.samples is None and place.kind != "random":
            raise error(
                "OQ420",
                "a seed draws samples, and their number is missing",
                fix="give --samples with --seed",
            )
        options = OpenOptions(
            inputs=inputs,
            batch=self.batch,
            preprocess=self.preprocess,
            otherwise=self.otherwise,
            samples=self.samples,
            seed=self.seed,
            ragged=self.ragged,
        )
        opened = FORMS[place.kind](place, options)
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
        """By input: its shape with the unknown sizes of `otherwise_shapes`, except the batch."""
        filled: dict[str, Shape] = {}
        for spec in (s for s in inputs if None in s.shape[1:] or s.any_rank):
            usual = self.otherwise_shapes.get(spec.name, ())
            if spec.any_rank and usual:
                filled[spec.name] = tuple(usual)
            elif not spec.any_rank and len(usual) == len(spec.shape):
                sizes = zip(spec.shape[1:], usual[1:], strict=True)
                filled[spec.name] = (spec.shape[0], *(u if d is None else d for d, u in sizes))
        return filled

    def _check(self) -> None:
        for name, value in (("samples", self.samples), ("batch", self.batch)):
            what = "the number of samples" if name == "samples" else "the size of the batch"
            if value is not None and not 1 <= value <= _MOST:
                raise error(
                    "OQ420", f"{what} is {value}", fix=f"give --{name} a number from 1 to {_MOST}"
                )
        if self.seed is not None and self.seed < 0:
            raise error("OQ420", f"the seed is {self.seed}", fix="give --seed 0 or more")
        if self.ragged and self.batch not in (None, 1):
            raise error(
                "OQ420",
                "samples of different shapes cannot be put into a batch",
                fix="leave out --ragged or --batch",
            )

    def _missing(self, opened: OpenedData, picked: Sequence[int] | None) -> list[Diagnostic]:
        """Warnings on missing samples, before any is read; OQ426 when no batch can be filled."""
        if opened.source.length is None or picked is None:
            return []
        warnings = too_few(opened.source.length, self.samples)
        batch = opened.batch
        if batch.whole and len(picked) < batch.size:
            raise none_full(len(picked), batch)
        return warnings + (not_full(len(picked) % batch.size, batch) if batch.whole else [])
