"""Where inputs come from: pictures and NumPy files, one sample after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from onnxq import preprocess
from onnxq.array_files import read_arrays
from onnxq.diagnostics import Diagnostic, error, first_line, warning
from onnxq.graph import Graph
from onnxq.preprocess import Preprocess
from onnxq.samples import InputSpec, Sample, input_specs, shape_text

CALIBRATION: Final = ".calib.npz"  # what onnxq writes itself is no data
ARRAYS: Final = frozenset({".npy", ".npz"})


@dataclass(slots=True, kw_only=True)
class Feed:
    """Samples read when iterated; files that cannot be read are left out and told in `skipped`.

    Every iteration yields the same samples in the same order. `preprocess` is None for arrays.
    """

    files: tuple[Path, ...]
    inputs: tuple[InputSpec, ...]
    preprocess: Preprocess | None
    skipped: list[Diagnostic] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Sample]:
        self.skipped.clear()
        count = 0
        for file in self.files:
            for sample in self._read(file):
                count += 1
                yield sample
        if not count and self.skipped:
            raise error(
                "OQ401",
                f"none of the {len(self.files)} files could be read, the first: "
                f"{self.skipped[0].message}",
                fix="give pictures that Pillow opens",
            )
        if not count:
            raise error("OQ401", f"'{self.files[0]}' holds no sample", fix="save some in it")

    def _read(self, file: Path) -> Iterator[Sample]:
        if file.suffix.lower() in ARRAYS:
            yield from read_arrays(file, self.inputs)
            return
        try:
            sample = self._picture(file)
        except Exception as reason:  # Pillow raises a dozen types on damaged bytes
            told = f"'{file}' was left out: {first_line(reason)}"
            self.skipped.append(warning("OQ402", told, fix="replace or remove it"))
        else:
            yield sample

    def _picture(self, file: Path) -> Sample:
        (spec,) = self.inputs
        assert self.preprocess is not None
        content = hashlib.sha256(file.read_bytes())
        with Image.open(file) as picture:
            picture.load()
            tensor = self.preprocess.apply(picture, _fixed(spec))
        content.update(repr((self.preprocess.model_dump(), spec.shape)).encode())
        return Sample(name=file.name, tensors={spec.name: tensor}, digest=content.hexdigest())


def open_feed(
    source: str | Path,
    graph: Graph,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    how: Preprocess | None = None,
) -> Feed:
    """Open a picture, an .npy or .npz file, or a folder of them, searched recursively.

    Pictures need a model with one image-like input, whose sizes are known or given in `shapes`;
    `how` is then the preprocessing, by default `preprocess.DEFAULT`. Raises OQ401 to OQ406.
    """
    inputs = input_specs(graph, shapes or {})
    files = _files(Path(source))
    arrays = [f for f in files if f.suffix.lower() in ARRAYS]
    if 0 < len(arrays) < len(files):
        other = next(f for f in files if f not in arrays)
        raise error(
            "OQ401",
            f"'{source}' holds both arrays ('{arrays[0].name}') and pictures ('{other.name}')",
            fix="keep one kind in a folder",
        )
    if arrays:
        if how is not None:
            raise error(
                "OQ406",
                "--preprocess is for pictures, and the data are arrays",
                fix="leave it out, or give pictures",
            )
        return Feed(files=tuple(arrays), inputs=inputs, preprocess=None)
    if len(inputs) != 1 or not _is_image(inputs[0]):
        raise error(
            "OQ404",
            f"pictures need a model with one image input, not {'; '.join(map(str, inputs))}",
            fix="give .npz files with one array an input",
        )
    spec = _sized(inputs[0])
    how = how or preprocess.load(preprocess.DEFAULT)
    how.require_fit(_fixed(spec))
    return Feed(files=tuple(files), inputs=(spec,), preprocess=how)


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise error("OQ401", f"the data '{source}' does not exist", fix="give a file or a folder")
    readable = ARRAYS | Image.registered_extensions().keys()
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
    return found


def _is_image(spec: InputSpec) -> bool:
    return (
        len(spec.shape) == 4
        and spec.dtype == np.float32
        and (spec.shape[1] in (1, 3) or spec.shape[3] in (1, 3) or None in spec.shape)
    )


def _sized(spec: InputSpec) -> InputSpec:
    """Fill in a batch of 1; every other size must be known."""
    shape = (spec.shape[0] or 1, *spec.shape[1:])
    told = shape_text(spec.shape)
    if None in shape:
        raise error(
            "OQ405",
            f"the size of input '{spec.name}' is not fixed ({told})",
            fix=f"give one, such as --shape {spec.name}:1x3x640x640",
        )
    if shape[0] != 1:
        raise error(
            "OQ405",
            f"input '{spec.name}' takes batches of {shape[0]} pictures ({told})",
            fix="give .npy files with whole batches",
        )
    return InputSpec(name=spec.name, dtype=spec.dtype, shape=shape)


def _fixed(spec: InputSpec) -> tuple[int, ...]:
    return tuple(int(d) for d in spec.shape if d is not None)
