"""Samples from the JSON that `polygraphy run --save-inputs` writes, read by Polygraphy itself.

Its decoder runs no code: arrays are .npy without objects, tensors of torch are weights alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxq.diagnostics import Diagnostic, error, first_line
from onnxq.feeds.arrays import held_in_memory
from onnxq.feeds.checks import Alike
from onnxq.feeds.fitting import samples
from onnxq.feeds.numbering import Numbering
from onnxq.feeds.samples import InputSpec, Sample
from onnxq.feeds.source import EndOfDataError, Reader, ReadWhole
from onnxq.feeds.values import named

_Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedInputs(ReadWhole):
    """Samples in JSON files; `shapes` has those of each sample's inputs, file by file.

    `last` is the last file that was read, with its samples.
    """

    files: tuple[Path, ...]
    inputs: tuple[InputSpec, ...]
    shapes: tuple[tuple[_Shapes, ...], ...]
    last: dict[Path, tuple[Sample, ...]] = field(default_factory=dict)
    threads: int = 1
    notes: tuple[Diagnostic, ...] = ()

    @property
    def length(self) -> int:
        """Number of samples in all files."""
        return self.numbering.length

    @property
    def numbering(self) -> Numbering:
        """The numbers of the samples in each file."""
        return Numbering(map(len, self.shapes))

    def reader(self) -> Reader:
        """One file at a time is held in memory."""
        return self._read

    def require_alike(self, numbers: Sequence[int]) -> None:
        """Compare the shapes, which are known since the files were opened (OQ424)."""
        alike = Alike(self.inputs)
        numbering = self.numbering
        for file, index in map(numbering.place, numbers):
            alike.require(f"{self.files[file]}[{index}]", self.shapes[file][index])

    def _read(self, number: int) -> Sample:
        if number >= self.length:
            raise EndOfDataError
        place, index = self.numbering.place(number)
        file = self.files[place]
        if file not in self.last:
            self.last.clear()  # before the next is read
            self.last[file] = _samples(file, self.inputs)
        return self.last[file][index]


def open_saved(files: tuple[Path, ...], inputs: tuple[InputSpec, ...]) -> SavedInputs:
    """Read the files. Errors: OQ401 when Polygraphy did not write one, OQ403, OQ404."""
    shapes: list[tuple[_Shapes, ...]] = []
    last: dict[Path, tuple[Sample, ...]] = {}
    for file in files:
        last.clear()
        last[file] = in_file = _samples(file, inputs)
        shapes.append(tuple({n: a.shape for n, a in s.tensors.items()} for s in in_file))
    if not any(shapes):
        raise error("OQ401", f"'{files[0]}' holds no sample", fix="save some in it")
    notes = [n for f in files for n in held_in_memory(f, f.stat().st_size, "save .npz files")]
    return SavedInputs(
        files=files, inputs=inputs, shapes=tuple(shapes), last=last, notes=tuple(notes)
    )


def _samples(file: Path, inputs: tuple[InputSpec, ...]) -> tuple[Sample, ...]:
    in_file: list[Sample] = []
    for index, feed_dict in enumerate(_loaded(file)):
        where = f"{file}[{index}]"
        in_file += samples(where, named(where, feed_dict, inputs), inputs)
    return tuple(in_file)


def _loaded(file: Path) -> list[dict[str, Any]]:
    from polygraphy.json import load_json
    from polygraphy.logger import G_LOGGER

    why = "it holds no dictionary of arrays, and no list of such"
    try:
        with G_LOGGER.verbosity(G_LOGGER.CRITICAL + 1):
            content = load_json(str(file))
        if isinstance(content, dict) and any(hasattr(v, "__array__") for v in content.values()):
            return [content]  # one iteration, as where a folder is named to Polygraphy
        if isinstance(content, list) and all(isinstance(item, dict) for item in content):
            return content
    except Exception as reason:  # Polygraphy raises what json, base64 and numpy do
        why = first_line(reason)
    raise error(
        "OQ401",
        f"'{file}' cannot be read as saved inputs: {why}",
        fix="write it with 'polygraphy run --save-inputs', or give .npz files",
    )
