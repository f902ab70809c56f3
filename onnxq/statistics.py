"""What a calibration gathered: per-tensor statistics that add, are kept in a file, have a digest.

Adding is exact, so any split of the data over runs, processes or machines, added in any order,
gives the same `Statistics` and the same file, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from onnxq import diagnostics, methods
from onnxq.descriptor import Calibrator, QuantDescriptor
from onnxq.files import whole_file
from onnxq.histogram import BINS, MANTISSA_BITS, BitHistogram, ValueRange

_FORMAT: Final = "onnxq calibration"
_VERSION: Final = 1
NO_DATA: Final = f"{0:064x}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorStatistics:
    """What was observed of one tensor over `samples` samples."""

    values: BitHistogram | ValueRange
    samples: int

    @property
    def range(self) -> ValueRange:
        """Exact minimum and maximum, and the counts of values, NaN and Inf."""
        return self.values if isinstance(self.values, ValueRange) else self.values.range

    @property
    def histogram(self) -> BitHistogram | None:
        """The histogram, if one was gathered."""
        return None if isinstance(self.values, ValueRange) else self.values

    def amax(self, descriptor: QuantDescriptor, *, tensor: str) -> float:
        """Return amax by the descriptor's method; `tensor` names it in error OQ416."""
        return methods.amax(self.values, descriptor, tensor=tensor)

    def __add__(self, other: TensorStatistics) -> TensorStatistics:
        """Add exactly; the sum has a histogram only when both have one."""
        values: BitHistogram | ValueRange = self.range + other.range
        if self.histogram is not None and other.histogram is not None:
            values = self.histogram + other.histogram
        return TensorStatistics(values=values, samples=self.samples + other.samples)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statistics:
    """One calibration; a commutative monoid under `+` for each model and way of calibrating.

    `model_name` is the path of the model from the folder of the calibration file. `data_digest`
    is the sum of the samples' digests, so it does not depend on their order.
    """

    model_name: str
    model_digest: str
    calibrator: Calibrator
    data_digest: str = NO_DATA
    samples: int = 0
    preprocess: str = ""
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    tensors: Mapping[str, TensorStatistics] = field(default_factory=dict)

    def __add__(self, other: Statistics) -> Statistics:
        """Add two calibrations of one model; error OQ418 when they do not belong together."""
        _check_addable(self, other)
        names = sorted({*self.tensors, *other.tensors})
        return Statistics(
            model_name=min(self.model_name, other.model_name),  # a copy may have another name
            model_digest=self.model_digest,
            calibrator=self.calibrator,
            data_digest=add_digests(self.data_digest, other.data_digest),
            samples=self.samples + other.samples,
            preprocess=self.preprocess,
            input_shapes=self.input_shapes,
            tensors={name: _add(self.tensors.get(name), other.tensors.get(name)) for name in names},
        )

    @property
    def digest(self) -> str:
        """sha256 (hex) of everything in it; equal for equal content."""
        total = hashlib.sha256()
        for key, array in sorted(_pack(self).items()):
            total.update(f"{key} {array.dtype} {array.size};".encode() + array.tobytes())
        return total.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write a compressed npz, whole or not at all; the same bytes for equal content.

        Error OQ501 when it cannot be written.
        """
        arrays = _pack(self)
        with whole_file(path) as part, part.open("wb") as file:
            # numpy dates the entries 1980, so that the bytes depend on the content only.
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Statistics:
        """Read what `save` wrote. Errors: OQ410 no such file, OQ412 not a usable calibration."""
        if not Path(path).exists():
            raise diagnostics.error(
                "OQ410",
                f"calibration '{path}' does not exist",
                fix="run 'onnxq calibrate', or correct the path",
            )
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as npz:
                return _unpack({key: npz[key] for key in npz.files})
        except Exception as cause:  # a damaged zip, array or JSON fails in dozens of ways
            told = "it is no .npz file" if "pickle" in str(cause) else cause
            raise diagnostics.error(
                "OQ412",
                f"'{path}' is not a calibration that this version can read: {told}",
                fix="make it again with 'onnxq calibrate'",
            ) from cause


def add_digests(*digests: str) -> str:
    """Add hex digests modulo 2**256: commutative and associative, and counts repeats."""
    return f"{sum(int(digest, 16) for digest in digests) % 2**256:064x}"


def _add(a: TensorStatistics | None, b: TensorStatistics | None) -> TensorStatistics:
    return a + b if a and b else cast(TensorStatistics, a or b)


def _check_addable(a: Statistics, b: Statistics) -> None:
    for what, ours, theirs in (
        ("models", a.model_digest, b.model_digest),
        ("calibrators", a.calibrator, b.calibrator),
        ("preprocessing", a.preprocess, b.preprocess),
        ("input shapes", dict(a.input_shapes), dict(b.input_shapes)),
    ):
        if ours != theirs:
            raise diagnostics.error(
                "OQ418",
                f"two calibrations of '{a.model_name}' and '{b.model_name}' have different {what}:"
                f" {ours or 'none'} and {theirs or 'none'}",
                fix="add calibrations that were made alike from one model",
            )


def _pack(statistics: Statistics) -> dict[str, Any]:
    """Return the arrays of the file: JSON, and the tensors' histograms end to end."""
    tensors = sorted(statistics.tensors.items())
    histograms = [t.histogram or BitHistogram() for _, t in tensors]
    bins = np.concatenate([np.zeros(0, np.int32), *(h.bins.astype(np.int32) for h in histograms)])
    meta = {
        "format": _FORMAT,
        "version": _VERSION,
        "mantissa_bits": MANTISSA_BITS,
        "model_name": statistics.model_name,
        "model_digest": statistics.model_digest,
        "data_digest": statistics.data_digest,
        "calibrator": statistics.calibrator,
        "samples": statistics.samples,
        "preprocess": statistics.preprocess,
        "input_shapes": {name: list(shape) for name, shape in statistics.input_shapes.items()},
        "tensors": [_meta(name, tensor) for name, tensor in tensors],
    }
    text = json.dumps(meta, sort_keys=True)
    return {
        "meta": np.frombuffer(text.encode(), np.uint8),
        "gaps": np.diff(bins, prepend=np.int32(0)),  # small numbers, which compress well
        "counts": np.concatenate([np.zeros(0, np.int64), *(h.counts for h in histograms)]),
        "offsets": np.cumsum([0, *(len(h.bins) for h in histograms)], dtype=np.int64),
    }


def _meta(name: str, tensor: TensorStatistics) -> dict[str, Any]:
    seen = tensor.range
    return {
        "name": name,
        "samples": tensor.samples,
        "histogram": tensor.histogram is not None,
        "count": seen.count,
        "nan": seen.nan,
        "inf": seen.inf,
        "minimum": seen.minimum.hex(),  # exact, and JSON has no infinity
        "maximum": seen.maximum.hex(),
    }


def _unpack(arrays: Mapping[str, npt.NDArray[Any]]) -> Statistics:
    meta = json.loads(arrays["meta"].tobytes())
    if meta["format"] != _FORMAT:
        raise ValueError("it is another kind of file")
    if (meta["version"], meta["mantissa_bits"]) != (_VERSION, MANTISSA_BITS):
        raise ValueError(f"its format is version {meta['version']}, not {_VERSION}")
    bins = np.cumsum(arrays["gaps"], dtype=np.int64)
    counts = np.asarray(arrays["counts"], dtype=np.int64)
    offsets = arrays["offsets"].tolist()
    parts = zip(meta["tensors"], offsets[:-1], offsets[1:], strict=True)
    return Statistics(
        model_name=meta["model_name"],
        model_digest=meta["model_digest"],
        data_digest=meta["data_digest"],
        calibrator=meta["calibrator"],
        samples=meta["samples"],
        preprocess=meta["preprocess"],
        input_shapes={name: tuple(shape) for name, shape in meta["input_shapes"].items()},
        tensors={m["name"]: _tensor(m, bins[a:b], counts[a:b]) for m, a, b in parts},
    )


def _tensor(
    meta: Mapping[str, Any], bins: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> TensorStatistics:
    seen = ValueRange(
        count=meta["count"],
        nan=meta["nan"],
        inf=meta["inf"],
        minimum=float.fromhex(meta["minimum"]),
        maximum=float.fromhex(meta["maximum"]),
    )
    if not meta["histogram"]:
        return TensorStatistics(values=seen, samples=meta["samples"])
    ordered = np.all(np.diff(bins, prepend=-1, append=BINS) > 0)
    if not ordered or np.any(counts <= 0) or counts.sum() != seen.finite:
        raise ValueError(f"the histogram of tensor '{meta['name']}' is inconsistent")
    histogram = BitHistogram(range=seen, bins=bins.astype(np.uint32), counts=counts)
    return TensorStatistics(values=histogram, samples=meta["samples"])
