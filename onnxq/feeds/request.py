"""What was asked for, as plain data, and the way from there to a feed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from onnxq import preprocess
from onnxq.diagnostics import Diagnostic, error
from onnxq.feeds.arrays import SUFFIXES, open_arrays
from onnxq.feeds.checks import none_full, not_full, too_few
from onnxq.feeds.feed import Feed
from onnxq.feeds.pictures import Pictures, suffixes
from onnxq.feeds.selection import Batching, batching, pick
from onnxq.feeds.source import Source
from onnxq.graph import Graph
from onnxq.preprocess import Preprocess
from onnxq.samples import InputSpec, input_specs, shape_text

CALIBRATION: Final = ".calib.npz"  # what onnxq writes itself is no data


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRequest:
    """Data as it was asked for: it can be pickled, and opened again in another process.

    `source` is what `--data` says. `preprocess` is for pictures alone; `otherwise` is used when
    there is none. `samples` are drawn with `seed`, or spread evenly; `batch` puts so many into
    one run of the model; `ragged` permits shapes that differ between samples.
    """

    source: str
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    preprocess: Preprocess | None = None
    otherwise: Preprocess | None = None
    samples: int | None = None
    seed: int | None = None
    batch: int | None = None
    ragged: bool = False

    @property
    def path(self) -> Path:
        """The file or folder that is read."""
        return Path(self.source)

    def open(self, graph: Graph) -> Feed:
        """Open the data for a model. Raises OQ401 to OQ406 and OQ420 to OQ428."""
        self._check()
        inputs = input_specs(graph, self.shapes)
        files = _files(Path(self.source))
        arrays = [f for f in files if f.suffix.lower() in SUFFIXES]
        if 0 < len(arrays) < len(files):
            other = next(f for f in files if f not in arrays)
            raise error(
                "OQ401",
                f"'{self.source}' holds both arrays ('{arrays[0].name}') and pictures "
                f"('{other.name}')",
                fix="keep one kind in a folder",
            )
        return self._arrays(files, inputs) if arrays else self._pictures(files, inputs)

    def _check(self) -> None:
        for name, value in (("--samples", self.samples), ("--batch", self.batch)):
            if value is not None and value < 1:
                raise error("OQ420", f"{name} {value} asks for nothing", fix="give 1 or more")
        if self.seed is not None and self.samples is None:
            raise error("OQ420", "--seed draws samples, and --samples is missing", fix="give both")
        if self.ragged and self.batch not in (None, 1):
            raise error(
                "OQ420",
                "--ragged and --batch: samples of different shapes make no batch",
                fix="leave one of them out",
            )

    def _arrays(self, files: tuple[Path, ...], inputs: tuple[InputSpec, ...]) -> Feed:
        if self.preprocess is not None:
            raise error(
                "OQ406",
                "--preprocess is for pictures, and the data are arrays",
                fix="leave it out, or give pictures",
            )
        singles, batch = batching(inputs, self.batch)
        return self._feed(open_arrays(files, singles), inputs, batch)

    def _pictures(self, files: tuple[Path, ...], inputs: tuple[InputSpec, ...]) -> Feed:
        if len(inputs) != 1 or not _is_image(inputs[0]):
            raise error(
                "OQ404",
                f"pictures need a model with one image input, not {'; '.join(map(str, inputs))}",
                fix="give .npz files with one array an input",
            )
        fixed = inputs[0].shape[0]
        singles, batch = batching(inputs, self.batch or (fixed if isinstance(fixed, int) else 1))
        how = self.preprocess or self.otherwise or preprocess.load(preprocess.DEFAULT)
        how.require_fit(_sizes(singles[0]))
        source = Pictures(files=files, spec=singles[0], preprocess=how)
        return self._feed(source, inputs, batch, how)

    def _feed(
        self,
        source: Source,
        inputs: tuple[InputSpec, ...],
        batch: Batching,
        how: Preprocess | None = None,
    ) -> Feed:
        """The feed; what is missing is told in its notes, or refused when nothing is left."""
        picked = pick(source.length, self.samples, self.seed)
        notes: list[Diagnostic] = []
        if source.length is not None and picked is not None:
            notes += too_few(source.length, self.samples)
            if batch.whole:
                if len(picked) < batch.size:
                    raise none_full(len(picked), batch)
                notes += not_full(len(picked) % batch.size, batch)
        return Feed(
            source=source,
            inputs=inputs,
            picked=picked,
            batch=batch,
            ragged=self.ragged,
            preprocess=how,
            notes=tuple(notes),
        )


def _files(source: Path) -> tuple[Path, ...]:
    if source.is_file():
        return (source,)
    if not source.is_dir():
        raise error("OQ401", f"the data '{source}' does not exist", fix="give a file or a folder")
    readable = SUFFIXES | suffixes()
    found = sorted(
        p
        for p in source.rglob("*")
        if p.suffix.lower() in readable and not p.name.endswith(CALIBRATION) and p.is_file()
    )
    if not found:
        raise error(
            "OQ401",
            f"the folder '{source}' has no pictures and no .npy or .npz files",
            fix="give a folder with samples of what the model will see",
        )
    return tuple(found)


def _is_image(spec: InputSpec) -> bool:
    return (
        len(spec.shape) == 4
        and str(spec.dtype) in ("float32", "float16", "uint8")
        and (spec.shape[1] in (1, 3) or spec.shape[3] in (1, 3) or None in spec.shape)
    )


def _sizes(spec: InputSpec) -> tuple[int, ...]:
    found = tuple(size for size in spec.shape if isinstance(size, int))
    if len(found) != len(spec.shape):
        raise error(
            "OQ405",
            f"the size of input '{spec.name}' is not fixed ({shape_text(spec.shape)})",
            fix=f"give one, such as --shape {spec.name}:1x3x640x640",
        )
    return found
