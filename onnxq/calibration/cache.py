"""TensorRT's INT8 calibration caches, which its versions up to 10 write and read, as statistics.

A cache is text: a line such as TRT-100300-EntropyCalibration2 (the version of TensorRT and the
algorithm), then `name: hex` for each tensor of the network. The digits are the bits of a float32,
the highest first, and the float is the scale: amax / 127. A name may contain ': '; the last one
separates. Changes that editors make are accepted: line ends of Windows, a byte order mark, blanks
at the end of a line, capital digits. TensorRT uses only a cache with its own first line; with
another one it calibrates, which needs data.

NVIDIA documents none of this. The sources are readers that others ship: `ReadDynamicRange` in
onnxruntime/core/providers/tensorrt/tensorrt_execution_provider_utils.h and
`import_scales_from_calib_cache` in ModelOpt's onnx/quantization/calib_utils.py; for the first line
https://github.com/NVIDIA/Deep-Learning-Accelerator-SW/issues/26.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from onnxq.calibration.methods import ImportedAmax
from onnxq.calibration.statistics import Statistics, TensorStatistics
from onnxq.diagnostics import Diagnostic, OnnxqError, Span, error, first_line
from onnxq.files import whole_file
from onnxq.model.graph import Graph
from onnxq.quantization import INT8_MAX, scale_of

_HEADER: Final = re.compile(r"TRT-\w+-\w+")
_ENTRY: Final = re.compile(r"(?P<name>.+): *(?P<bits>[0-9a-fA-F]{1,8})")  # names may have ':'
_LARGEST: Final = 64 << 20  # bytes; a line has about 60
_LARGEST_FLOAT: Final = float(np.finfo(np.float32).max)
_LARGEST_SCALE: Final = _LARGEST_FLOAT / INT8_MAX
_NO_CACHE: Final = "give the text file that TensorRT wrote, which begins with TRT-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A calibration cache: its first line, float32 scales by tensor name, sha256 of the file."""

    header: str
    scales: Mapping[str, float]
    digest: str

    def statistics(
        self,
        graph: Graph,
        *,
        model_path: Path | None = None,
        input_shapes: Mapping[str, tuple[int, ...]],
    ) -> Statistics:
        """Return the entries of the tensors that the graph has, as final amaxes.

        Error OQ454 when there are none.
        """
        names = self.scales.keys() - set(self.strangers(graph))
        if not names:
            raise error(
                "OQ454",
                f"none of the {len(self.scales)} names of the cache is a tensor of the model",
                fix="give the model that TensorRT calibrated: names must be the same",
            )
        tensors = {
            name: TensorStatistics(values=ImportedAmax(amax=_amax(self.scales[name])), samples=0)
            for name in names
        }
        return Statistics(
            model_path=model_path,
            model_digest=graph.digest,
            calibrator="cache",
            data_digest=self.digest,
            input_shapes=input_shapes,
            tensors=tensors,
        )

    def strangers(self, graph: Graph) -> tuple[str, ...]:
        """Names that the graph has no tensor of, such as (Unnamed Layer* 4) [Scale]_output."""
        tensors = {*graph.inputs, *(name for node in graph.nodes for name in node.outputs)}
        return tuple(name for name in self.scales if name not in tensors)


def read(path: Path) -> Cache:
    """Read a cache. Errors, all at once: OQ450 unreadable lines, OQ451 impossible scales."""
    content = _content(path)
    try:
        text = content.decode("utf-8-sig")  # editors of Windows begin a file with U+FEFF
    except UnicodeDecodeError:
        raise error(
            "OQ450", f"'{path}' is not a TensorRT calibration cache", fix=_NO_CACHE
        ) from None
    header, *lines = text.split("\n")
    if not _HEADER.fullmatch(header.strip()):
        place = Span(file=str(path), line=1, column=1, source=header)
        raise error("OQ450", "this is not a TensorRT calibration cache", fix=_NO_CACHE, span=place)
    scales: dict[str, float] = {}
    places: dict[str, int] = {}
    diagnostics: list[Diagnostic] = []
    for number, line in enumerate(lines, start=2):
        if line.strip():
            span = Span(file=str(path), line=number, column=1, source=line)
            diagnostics += _entry(line, span, scales, places)
    if not scales and not diagnostics:
        raise error("OQ450", f"'{path}' has no entries", fix="calibrate with TensorRT again")
    if diagnostics:
        raise OnnxqError(*diagnostics)
    digest = hashlib.sha256(content).hexdigest()
    return Cache(header=header.strip(), scales=scales, digest=digest)


def write(path: Path, scales: Mapping[str, float], header: str) -> None:
    """Write a cache, whole or not at all. Errors: OQ455 a name with a line break, OQ501."""
    for name in scales:
        if not name or {"\n", "\r"} & set(name):
            raise error(
                "OQ455",
                f"the name of the tensor {name!r} has a line break, or is empty",
                fix="rename it in the model: a cache has one line for a tensor",
            )
    lines = (f"{name}: {struct.pack('>f', scale).hex()}" for name, scale in scales.items())
    with whole_file(path) as part:
        part.write_text("".join(f"{line}\n" for line in (header, *lines)), "utf-8", newline="\n")


def header_of(version: str) -> str:
    """Return the first line of TensorRT's entropy calibrator, as trtexec and Polygraphy use it.

    8.6.1 gives TRT-8601, 10.3.0 TRT-100300. ValueError for other texts and for 11, which has no
    calibration.
    """
    match = re.fullmatch(r"(\d{1,2})\.(\d{1,2})(?:\.(\d{1,2}))?(?:\.\d+)?", version)
    major, minor, patch = (int(n or 0) for n in match.groups()) if match else (0, 0, 0)
    if not 5 <= major <= 10:
        raise ValueError(f"'{version}' is not a version of TensorRT from 5 to 10")
    number = major * 10_000 + minor * 100 if major >= 10 else major * 1_000 + minor * 100
    return f"TRT-{number + patch}-EntropyCalibration2"


def _content(path: Path) -> bytes:
    if not os.path.isfile(path):
        what = "is not a regular file" if os.path.exists(path) else "does not exist"
        raise error("OQ450", f"'{path}' {what}", fix="correct the path")
    if path.stat().st_size > _LARGEST:
        raise error("OQ450", f"'{path}' is too large for a calibration cache", fix=_NO_CACHE)
    try:
        return path.read_bytes()
    except OSError as reason:
        message = f"'{path}' cannot be read: {first_line(reason)}"
        raise error("OQ450", message, fix="correct the path or its permissions") from reason


def _entry(
    line: str, span: Span, scales: dict[str, float], places: dict[str, int]
) -> Iterator[Diagnostic]:
    """Add the scale of a line and its number, or yield what is wrong with it."""
    match = _ENTRY.fullmatch(line.rstrip())
    if match is None:
        message = "this line is not 'name: ' and up to 8 hex digits"
        yield _wrong("OQ450", message, "copy the cache again, or delete the line", span)
        return
    name = match["name"]
    (scale,) = struct.unpack(">f", bytes.fromhex(match["bits"].zfill(8)))
    if name in scales:
        message = f"'{name}' has a second entry; the first is in line {places[name]}"
        yield _wrong("OQ450", message, "delete one of them", span)
    elif not 0 < scale <= _LARGEST_SCALE:  # NaN too
        fix = "delete the line, and let the recipe skip the tensor or calibrate with data"
        yield _wrong("OQ451", f"the scale of '{name}' is {scale:g}", fix, span)
    else:
        scales[name], places[name] = scale, span.line


def _wrong(code: str, message: str, fix: str, span: Span) -> Diagnostic:
    return Diagnostic(code=code, message=message, fix=fix, span=span)


def _amax(scale: float) -> float:
    """Return the float32 amax that gives exactly this scale, if there is one."""
    near = np.float32(INT8_MAX * scale)
    around = (near, *(np.nextafter(near, np.float32(end)) for end in (0, _LARGEST_FLOAT)))
    return float(next((a for a in around if scale_of(a) == np.float32(scale)), near))
