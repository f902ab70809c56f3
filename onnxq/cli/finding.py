"""The calibration and the model of it that a verb works on, where they are not named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnxq.cli import options
from onnxq.diagnostics import OnnxqError, error

if TYPE_CHECKING:
    from onnxq.calibration.statistics import Statistics
    from onnxq.model.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """The statistics of a calibration file; where none fits they are empty, `missing` says why."""

    path: Path | None
    statistics: Statistics
    missing: OnnxqError | None = None


def model_and_calibration(
    model: Path | None, given: Path | None, existing: options.ExistingPairs
) -> tuple[Source, Calibrated]:
    """The model, and the calibration that was named or fits it."""
    from onnxq.model import source

    try:
        found, statistics = calibration(given, model, existing)
        read = model_of(found, statistics, model, existing)
    except OnnxqError as reason:
        fits = reason.diagnostics[0].code not in ("OQ410", "OQ411")
        if model is None or given is not None or fits:
            raise
        read = source.read(model, existing)
        return read, uncalibrated(read, missing=reason)
    return read, Calibrated(path=found, statistics=statistics)


def uncalibrated(
    source: Source,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    *,
    missing: OnnxqError | None = None,
) -> Calibrated:
    """No statistics of a model, whose inputs have these shapes."""
    from onnxq.calibration.statistics import Statistics

    empty = Statistics(
        model_path=source.path,
        model_digest=source.digest,
        calibrator="histogram",
        input_shapes=shapes or {},
    )
    return Calibrated(path=None, statistics=empty, missing=missing)


def calibration(
    given: Path | None,
    model: Path | None = None,
    existing: options.ExistingPairs = "refuse",
    *,
    option: str = "--calibration",
) -> tuple[Path, Statistics]:
    """The calibration given, else the only one of the working folder, or of the model (OQ410).

    `option` is what gives one, as the user knows it.
    """
    from onnxq.calibration.statistics import Statistics
    from onnxq.model import source

    if given is not None:
        return given, Statistics.load(given)
    files = sorted(Path().glob("*.calib.npz"))
    if not files:
        raise error(
            "OQ410",
            "there is no calibration (*.calib.npz) in this folder",
            fix=f"run 'onnxq calibrate MODEL --data FOLDER' first, or give {option}",
        )
    if len(files) > 1 and model is not None:
        digest = source.digest(model, existing)
        count, files = len(files), [f for f in files if _digest_of(f) == digest]
        if not files:
            raise error(
                "OQ410",
                f"none of the {count} calibrations in this folder is of '{model}'",
                fix=f"run 'onnxq calibrate {model} --data FOLDER' first, or give {option}",
            )
    if len(files) > 1:
        names = ", ".join(str(f) for f in files)
        raise error(
            "OQ410", f"there are several calibrations: {names}", fix=f"choose with {option}"
        )
    return files[0], Statistics.load(files[0])


def _digest_of(file: Path) -> str | None:
    from onnxq.calibration.statistics import Statistics

    try:
        return Statistics.load(file).model_digest
    except OnnxqError:  # a damaged file beside is no reason to fail: it is not chosen
        return None


def model_of(
    found: Path,
    statistics: Statistics,
    model: Path | None = None,
    existing: options.ExistingPairs = "refuse",
) -> Source:
    """The model that a calibration was made from, unless another is given (OQ301, OQ411)."""
    from onnxq.model import source

    read = source.read(model or _named_model(found, statistics), existing)
    if read.digest != statistics.model_digest:
        imported = statistics.calibrator == "cache"
        again = (
            f"cache import CACHE --model {read.path}"
            if imported
            else f"calibrate {read.path} --data ..."
        )
        raise error(
            "OQ411",
            f"'{found}' was made from another model than '{read.path}'",
            fix=f"run 'onnxq {again}' again",
        )
    return read


def _named_model(found: Path, statistics: Statistics) -> Path:
    """The model that a calibration names: from the calibration's folder, else by name here."""
    named = statistics.model_path
    choices = (named, found.parent / named.name, Path(named.name)) if named else ()
    for path in choices:
        if path.is_file():
            return path
    raise error(
        "OQ301",
        f"the model of '{found}' is not at '{named}' any more"
        if named
        else f"'{found}' does not say where its model is",
        fix="give it: onnxq insert MODEL --rules ...",
    )
