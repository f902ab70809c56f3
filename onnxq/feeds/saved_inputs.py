"""Samples from the JSON that `polygraphy run --save-inputs` writes, read by Polygraphy itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxq.diagnostics import error, first_line
from onnxq.feeds.checks import Alike
from onnxq.feeds.fitting import samples
from onnxq.feeds.samples import InputSpec, Sample
from onnxq.feeds.source import EndOfDataError, Reader, ReadWhole
from onnxq.feeds.values import named


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedInputs(ReadWhole):
    """Samples that are all in memory, as in their file."""

    samples: tuple[Sample, ...]
    inputs: tuple[InputSpec, ...]
    threads: int = 1

    @property
    def length(self) -> int:
        """Number of samples."""
        return len(self.samples)

    def reader(self) -> Reader:
        """They are there."""
        return self._read

    def require_alike(self, numbers: Sequence[int]) -> None:
        """They are there (OQ424)."""
        alike = Alike(self.inputs)
        for number in numbers:
            one = self.samples[number]
            alike.require(one.name, {name: array.shape for name, array in one.tensors.items()})

    def _read(self, number: int) -> Sample:
        if number >= len(self.samples):
            raise EndOfDataError
        return self.samples[number]


def open_saved(file: Path, inputs: tuple[InputSpec, ...]) -> SavedInputs:
    """Read the file. Errors: OQ401 when it is none of Polygraphy's, OQ403, OQ404."""
    found: list[Sample] = []
    for index, feed_dict in enumerate(_loaded(file)):
        where = f"{file}[{index}]"
        found += samples(where, named(where, feed_dict, inputs), inputs)
    if not found:
        raise error("OQ401", f"'{file}' holds no sample", fix="save some in it")
    return SavedInputs(samples=tuple(found), inputs=inputs)


def _loaded(file: Path) -> list[dict[str, Any]]:
    from polygraphy.json import load_json
    from polygraphy.logger import G_LOGGER

    why = "it is no list of dictionaries"
    try:
        with G_LOGGER.verbosity(G_LOGGER.CRITICAL + 1):
            content = load_json(str(file))
        if isinstance(content, list) and all(isinstance(one, dict) for one in content):
            return content
    except Exception as reason:  # Polygraphy raises what json, base64 and numpy do
        why = first_line(reason)
    raise error(
        "OQ401",
        f"'{file}' cannot be read as saved inputs: {why}",
        fix="write it with 'polygraphy run --save-inputs', or give .npz files",
    )
