"""The calibration and the model of it that a verb works on, where they are not named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnxq.cli import options
from onnxq.diagnostics import Diagnostic, OnnxqError, error

if TYPE_CHECKING:
    from onnxq import Model, Statistics


class _SeveralError(OnnxqError):
    """Several calibrations fit, and only the user can choose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A model and its calibration; where none fits, `missing` says why."""

    model: Model
    statistics: Statistics | None
    missing: OnnxqError | None = None

    def to_make(self, folder: Path = Path()) -> Path | None:
        """Where to write a calibration if there is none; OQ410 where there are several."""
        if isinstance(self.missing, _SeveralError):
            raise self.missing
        return None if self.statistics else folder / f"{self.model.stem}.calib.npz"

    def shaped(self, sizes: Mapping[str, tuple[int, ...]]) -> Model:
        """The model with sizes of its inputs: these, else those of the calibration."""
        calibrated = {} if self.statistics is None else self.statistics.input_shapes
        return self.model.with_shapes(sizes or calibrated)


def model_and_calibration(
    path: Path | None, calibration: Path | None, existing: options.ExistingPairs
) -> Calibrated:
    """The model and its calibration; without a path the model that the calibration names."""
    import onnxq

    if path is None:
        statistics = calibration_file(calibration)
        return Calibrated(model=model_of(statistics, existing), statistics=statistics)
    model = onnxq.load(path, existing=existing)
    if calibration is not None:
        return Calibrated(model=model, statistics=onnxq.Statistics.load(calibration))
    try:
        return Calibrated(model=model, statistics=_of_model(model))
    except OnnxqError as reason:
        if reason.diagnostics[0].code not in ("OQ410", "OQ411"):
            raise
        return Calibrated(model=model, statistics=None, missing=reason)


def calibration_file(path: Path | None, *, option: str = "--calibration") -> Statistics:
    """The calibration that was named, else the only one of the working folder (OQ410).

    `option` is what names one, as the user knows it.
    """
    import onnxq

    if path is not None:
        return onnxq.Statistics.load(path)
    files = _files(option)
    if len(files) > 1:
        raise _several(files, option)
    return onnxq.Statistics.load(files[0])


def model_of(
    statistics: Statistics, existing: options.ExistingPairs = "refuse", model: Path | None = None
) -> Model:
    """The model of a calibration: where it was, beside the file, or here (OQ301)."""
    import onnxq

    if model is not None:
        return onnxq.load(model, existing=existing)
    named, file = statistics.model_path, statistics.path or Path()
    candidates = (named, file.parent / named.name, Path(named.name)) if named else ()
    for path in candidates:
        if os.path.isfile(path):
            return onnxq.load(path, existing=existing)
    place = f"the model of '{file}' is not at '{named}' any more"
    raise error(
        "OQ301",
        place if named else f"'{file}' does not name its model",
        fix="give it: onnxq insert MODEL --rules ...",
    )


def _of_model(model: Model) -> Statistics:
    """The only calibration of a model in the working folder (OQ410, OQ411)."""
    import onnxq

    option = "--calibration"
    files = _files(option)
    if len(files) == 1:
        statistics = onnxq.Statistics.load(files[0])
        onnxq.require_calibration_of(model, statistics)
        return statistics
    fitting = [f for f in files if _digest_of(f) == model.digest]
    if not fitting:
        raise error(
            "OQ410",
            f"none of the {len(files)} calibrations in this folder is of '{model.name}'",
            fix=f"run 'onnxq calibrate {model.name} --data FOLDER' first, or give {option}",
        )
    if len(fitting) > 1:
        raise _several(fitting, option)
    return onnxq.Statistics.load(fitting[0])


def _files(option: str) -> list[Path]:
    files = sorted(Path().glob("*.calib.npz"))
    if not files:
        raise error(
            "OQ410",
            "there is no calibration (*.calib.npz) in this folder",
            fix=f"run 'onnxq calibrate MODEL --data FOLDER' first, or give {option}",
        )
    return files


def _several(files: list[Path], option: str) -> OnnxqError:
    names = ", ".join(map(str, files))
    message, fix = f"there are several calibrations: {names}", f"choose with {option}"
    return _SeveralError(Diagnostic(code="OQ410", message=message, fix=fix))


def _digest_of(file: Path) -> str | None:
    import onnxq

    try:
        return onnxq.Statistics.load(file).model_digest
    except OnnxqError:  # a damaged file beside is no reason to fail: it is not chosen
        return None
