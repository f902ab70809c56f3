"""Samples from pictures."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from onnxq.diagnostics import first_line
from onnxq.feeds.ahead import decoders
from onnxq.feeds.preprocess import Preprocess
from onnxq.feeds.samples import InputSpec, Sample
from onnxq.feeds.source import LeftOutError, Reader, ReadWhole

# The warning would appear amid other output; pictures that Pillow refuses are reported anyway.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def suffixes() -> frozenset[str]:
    """Endings of the files that Pillow reads, in lower case and with their dot."""
    formats = Image.registered_extensions()
    return frozenset(suffix for suffix, form in formats.items() if form in Image.OPEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures(ReadWhole):
    """Picture files; each becomes one tensor of `spec`, whose sizes are all known."""

    files: tuple[Path, ...]
    spec: InputSpec
    preprocess: Preprocess

    @property
    def length(self) -> int:
        """Number of files."""
        return len(self.files)

    @property
    def threads(self) -> int:
        """One per core, for decoding."""
        return decoders()

    def reader(self) -> Reader:
        """Pictures are read in any order."""
        return self._read

    def _read(self, number: int) -> Sample:
        file = self.files[number]
        shape = tuple(int(size) for size in self.spec.shape if size is not None)
        try:
            content = file.read_bytes()
            with Image.open(io.BytesIO(content)) as picture:
                frames = 2 if _is_animated(picture) else 1
                picture.load()
                tensor = self.preprocess.apply(picture, shape, self.spec.dtype)
        except UnidentifiedImageError:
            why = "it is no picture that Pillow can read" if content else "it is empty"
            raise LeftOutError(str(file), why) from None
        except Exception as reason:  # Pillow raises a dozen types on damaged bytes
            raise LeftOutError(str(file), first_line(reason)) from reason
        tensors = {self.spec.name: tensor}
        digest = self._digest(content)
        return Sample(name=str(file), tensors=tensors, digest=digest, frames=frames)

    def identity(self, number: int, read: Reader) -> tuple[str, str]:
        """Compute the digest of the file's content; the picture is not decoded."""
        file = self.files[number]
        try:
            return str(file), self._digest(file.read_bytes())
        except OSError as reason:
            raise LeftOutError(str(file), first_line(reason)) from None

    def _digest(self, content: bytes) -> str:
        digest = hashlib.sha256(content)
        digest.update(
            repr((self.preprocess.model_dump(), self.spec.shape, str(self.spec.dtype))).encode()
        )
        return digest.hexdigest()


def _is_animated(picture: Image.Image) -> bool:
    """Whether there are further frames; the second picture of a camera (MPO) does not count."""
    return picture.format != "MPO" and getattr(picture, "is_animated", False)
