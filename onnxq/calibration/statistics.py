"""The result of a calibration: per-tensor statistics that add, with a file and a digest.

Adding is exact, so any split of the data over runs, processes or machines, added in any order,
gives the same `Statistics` and the same file, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from onnxq.array_file import ArrayFile, Arrays
from onnxq.calibration.histogram import MANTISSA_BITS, BitHistogram
from onnxq.calibration.tensor_statistics import TensorMeta
from onnxq.calibration.tensor_statistics import TensorStatistics as TensorStatistics
from onnxq.descriptor import Calibrator
from onnxq.diagnostics import Diagnostic, OnnxqError, did_you_mean, error, first_line
from onnxq.outputs import require_writable
from onnxq.shown import Shown

CalibratorOrCache = Calibrator | Literal["cache"]  # "cache": amaxes imported from TensorRT
_SHORT: Final = 16  # hex digits: two digests agree by chance once in 2**64
NO_DATA: Final = f"{0:064x}"
FILE: Final = ArrayFile(
    kind="calibration",
    version=2,  # version 1, which was never released, had no digest
    dtypes={"meta": np.uint8, "gaps": np.int32, "counts": np.int64, "offsets": np.int64},
    codes=("OQ410", "OQ412", "OQ440"),
    command="onnxq calibrate",
    again="calibrate again",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Statistics(Shown):
    """One calibration; a commutative monoid under `+` for each model and way of calibrating.

    `model_path` is None for a model that has no file. `data_digest` is the sum of the samples'
    digests, so it does not depend on their order; `input_shapes` are the largest that were fed. The
    calibrator `cache` means that the amaxes were imported and are final; the data digest is then
    that of the cache. `sample_digests` has the first 16 hex digits of each sample's digest, sorted:
    `verify` recognizes by them the samples that were used; empty where they are not known.
    `unobserved` are tensors that could not be computed, each with the node that onnxruntime cannot
    run in front of it, such as "EfficientNMS_TRT 'nms'".
    `diagnostics` are what the calibration had to report, `path` is its file once it is saved; they
    are no part of the digest or the file.

    `statistics[name]` is what was observed of one tensor; iterating gives the tensors' names.
    """

    model_path: Path | None = None
    model_digest: str
    calibrator: CalibratorOrCache
    data_digest: str = NO_DATA
    samples: int = 0
    preprocess: str = ""
    data: str = ""  # a description, if the data was not real
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    sample_digests: tuple[str, ...] = ()
    tensors: Mapping[str, TensorStatistics] = field(default_factory=dict)
    unobserved: Mapping[str, str] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()
    path: Path | None = None

    def __getitem__(self, tensor: str) -> TensorStatistics:
        """Return what was observed of a tensor; a KeyError with OQ443 when it was not observed."""
        if tensor not in self:
            raise UnobservedTensorError(tensor, self.tensors)
        return self.tensors[tensor]

    def __contains__(self, tensor: object) -> bool:
        return tensor in self.tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __add__(self, other: Statistics) -> Statistics:
        """Add two calibrations of one model; error OQ418 when they were not made alike."""
        difference = self.difference(other)
        paths = [path for path in (self.model_path, other.model_path) if path is not None]
        if difference:
            models = " and ".join(f"'{path}'" for path in paths) or "a model"
            raise error(
                "OQ418",
                f"two calibrations of {models} cannot be added: {difference}",
                fix="add calibrations that were made alike from one model",
            )
        names = sorted({*self.tensors, *other.tensors})
        unobserved = sorted({**self.unobserved, **other.unobserved}.items())
        return Statistics(
            model_path=min(paths, default=None),  # a copy of the model may have another name
            model_digest=self.model_digest,
            calibrator=self.calibrator,
            data_digest=add_digests(self.data_digest, other.data_digest),
            samples=self.samples + other.samples,
            preprocess=self.preprocess,
            data=self.data,
            input_shapes=largest_shapes(self.input_shapes, other.input_shapes),
            sample_digests=tuple(sorted((*self.sample_digests, *other.sample_digests))),
            tensors={name: _add(self.tensors.get(name), other.tensors.get(name)) for name in names},
            unobserved={name: node for name, node in unobserved if name not in names},
            diagnostics=(*self.diagnostics, *other.diagnostics),
        )

    def difference(self, other: Statistics) -> str | None:
        """Say why two calibrations cannot be added; None when they can."""
        if "cache" in (self.calibrator, other.calibrator):
            return "ranges imported from a TensorRT cache have no counts"
        for what, ours, theirs in (
            ("models", self.model_digest[:12], other.model_digest[:12]),
            ("calibrators", self.calibrator, other.calibrator),
            ("preprocessing", self.preprocess, other.preprocess),
            ("data", self.data or "real", other.data or "real"),
        ):
            if ours != theirs:
                return f"they have different {what}, {ours or 'none'} and {theirs or 'none'}"
        return None

    @property
    def digest(self) -> str:
        """sha256 (hex) of all that the file holds but the path of the model."""
        total = hashlib.sha256()
        for key, array in sorted(_pack(self, model_name="").items()):
            total.update(f"{key} {array.dtype} {array.size};".encode() + array.tobytes())
        return total.hexdigest()

    @property
    def is_imported(self) -> bool:
        """Whether the amaxes came from a TensorRT cache and not from data."""
        return self.calibrator == "cache"

    @property
    def values(self) -> int:
        """How many values were observed, of all tensors together."""
        return sum(tensor.range.count for tensor in self.tensors.values())

    def to_dict(self) -> dict[str, Any]:
        """Counts, the digest and the diagnostics; `onnxq.summarize` has the tensors."""
        return {
            "output": None if self.path is None else str(self.path),
            "samples": self.samples,
            "tensors": len(self.tensors),
            "values": self.values,
            "unobserved": dict(self.unobserved),
            "digest": self.digest,
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }

    def save(self, path: str | Path) -> Statistics:
        """Write a compressed npz, whole or not at all; the same bytes for equal content.

        The file names the model by its path from the folder of the file. Returns the statistics
        with their `path`. Errors: OQ501 when the file cannot be written, OQ502 over the model.
        """
        path = Path(path)
        require_writable({"the calibration": path}, (self.model_path,))
        name = "" if self.model_path is None else _relative(self.model_path, path.parent)
        FILE.write(path, _pack(self, model_name=name))
        return replace(self, path=path)

    @classmethod
    def load(cls, path: str | Path) -> Statistics:
        """Read what `save` wrote; a file that was damaged or changed anywhere is refused.

        `model_path` is where the model lies as seen from the working folder. Errors: OQ410 no such
        file, OQ412 not a usable calibration, OQ440 of a newer version.
        """
        arrays = FILE.read(path)
        try:
            return replace(_unpack(arrays, folder=Path(path).parent), path=Path(path))
        except ValidationError as cause:
            first = cause.errors()[0]
            place = ".".join(map(str, first["loc"])) or "meta"
            raise FILE.unusable(path, f"{place}: {first['msg']}") from cause
        except Exception as cause:  # content that no `save` wrote fails in dozens of ways
            raise FILE.unusable(path, first_line(cause)) from cause


class UnobservedTensorError(OnnxqError, KeyError):
    """A calibration did not observe a tensor (OQ443); a KeyError too, as of any mapping."""

    __str__ = Exception.__str__  # KeyError's own would quote the message

    def __init__(self, tensor: str, observed: Iterable[str]) -> None:
        fix = did_you_mean(
            str(tensor), observed, otherwise="'onnxq calib show' lists those that were observed"
        )
        message = f"the calibration observed no tensor '{tensor}'"
        super().__init__(Diagnostic(code="OQ443", message=message, fix=fix))


def add_digests(*digests: str) -> str:
    """Add hex digests modulo 2**256: commutative and associative, and counts repeats."""
    return f"{sum(int(digest, 16) for digest in digests) % 2**256:064x}"


def short_digests(digests: Iterable[str]) -> tuple[str, ...]:
    """Shorten digests (hex) for `sample_digests`: enough to recognize a sample."""
    return tuple(sorted(digest[:_SHORT] for digest in digests))


def largest_shapes(
    a: Mapping[str, tuple[int, ...]], b: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Return the larger of the two in every dimension; the longer shape where ranks differ."""
    return {name: _larger(a.get(name, ()), b.get(name, ())) for name in sorted({*a, *b})}


def _larger(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    if len(a) != len(b):
        return max(a, b, key=len)
    return tuple(map(max, a, b))


def _relative(model: Path, folder: Path) -> str:
    """The path of a model from a folder; a model that is a link keeps the name of the link."""
    named = model.parent.resolve() / model.name
    return Path(os.path.relpath(named, folder.resolve())).as_posix()


def _joined(folder: Path, name: str) -> Path:
    """The inverse of `_relative`, without '..' unless links make a difference."""
    path = folder / name
    short = Path(os.path.normpath(path))
    return short if short.resolve() == path.resolve() else path


def _add(a: TensorStatistics | None, b: TensorStatistics | None) -> TensorStatistics:
    return a + b if a and b else cast(TensorStatistics, a or b)


class _Meta(BaseModel):
    """The file's JSON: everything but the histograms."""

    model_config = ConfigDict(strict=True, extra="forbid")

    mantissa_bits: int
    model_name: str
    model_digest: str
    data_digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    calibrator: CalibratorOrCache
    samples: NonNegativeInt
    preprocess: str
    data: str = ""
    input_shapes: dict[str, list[NonNegativeInt]]
    sample_digests: list[Annotated[str, Field(pattern="^[0-9a-f]{16}$")]] = []
    tensors: list[TensorMeta]
    unobserved: dict[str, str] = {}


def _pack(statistics: Statistics, *, model_name: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the file: JSON, and the tensors' histograms end to end."""
    tensors = sorted(statistics.tensors.items())
    histograms = [t.histogram or BitHistogram() for _, t in tensors]
    bins = np.concatenate([np.zeros(0, np.int32), *(h.bins.astype(np.int32) for h in histograms)])
    meta = _Meta(
        mantissa_bits=MANTISSA_BITS,
        model_name=model_name,
        model_digest=statistics.model_digest,
        data_digest=statistics.data_digest,
        calibrator=statistics.calibrator,
        samples=statistics.samples,
        preprocess=statistics.preprocess,
        data=statistics.data,
        input_shapes={name: list(shape) for name, shape in statistics.input_shapes.items()},
        sample_digests=list(statistics.sample_digests),
        tensors=[TensorMeta.of(name, tensor) for name, tensor in tensors],
        unobserved=dict(statistics.unobserved),
    )
    text = json.dumps(meta.model_dump(exclude_defaults=True), sort_keys=True)
    return {
        "meta": np.frombuffer(text.encode(), np.uint8),
        "gaps": np.diff(bins, prepend=np.int32(0)),  # small numbers, which compress well
        "counts": np.concatenate([np.zeros(0, np.int64), *(h.counts for h in histograms)]),
        "offsets": np.cumsum([0, *(len(h.bins) for h in histograms)], dtype=np.int64),
    }


def _unpack(arrays: Arrays, *, folder: Path) -> Statistics:
    meta = _Meta.model_validate_json(arrays["meta"].tobytes())
    if meta.mantissa_bits != MANTISSA_BITS:
        raise ValueError(f"its bins have {meta.mantissa_bits} mantissa bits, not {MANTISSA_BITS}")
    bins = np.cumsum(arrays["gaps"], dtype=np.int64)
    offsets = arrays["offsets"]
    if offsets[0] != 0 or offsets[-1] != len(bins) or len(bins) != len(arrays["counts"]):
        raise ValueError("its histograms do not fill its arrays")
    parts = zip(meta.tensors, offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    tensors = {m.name: m.tensor(bins[a:b], arrays["counts"][a:b]) for m, a, b in parts}
    if len(tensors) != len(meta.tensors):
        raise ValueError("it has a tensor twice")
    return Statistics(
        model_path=_joined(folder, meta.model_name) if meta.model_name else None,
        model_digest=meta.model_digest,
        data_digest=meta.data_digest,
        calibrator=meta.calibrator,
        samples=meta.samples,
        preprocess=meta.preprocess,
        data=meta.data,
        input_shapes={name: tuple(shape) for name, shape in meta.input_shapes.items()},
        sample_digests=tuple(meta.sample_digests),
        tensors=tensors,
        unobserved=meta.unobserved,
    )
