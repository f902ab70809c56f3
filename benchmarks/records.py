"""What the accuracy benchmark measured: one JSON file a model in benchmarks/results/."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

RESULTS = Path(__file__).parent / "results"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Compiled(_Strict):
    """What TensorRT-RTX made of a file; `problem` is its error in one line.

    `conversions` counts the kernels that only convert, of all kinds.
    """

    version: str
    int8: int | None = None
    weighted: int | None = None
    int8_macs: float | None = None
    conversions: int | None = None
    problem: str | None = None


class Cost(_Strict):
    """What the process of a tool took: seconds on the clock and of the processors, peak memory."""

    wall_s: float
    cpu_s: float
    peak_mib: float


class Scores(_Strict):
    """A file against its float model: SQNR by output, or by part where an output has parts.

    Shares are from 0 to 1: `top1` and `agreement`, with the float model's first class, of all
    samples, the others of the float model's detections.
    """

    sqnr_db: dict[str, float]
    top1: float | None = None
    agreement: float | None = None
    kept: float | None = None
    new: float | None = None

    @property
    def worst_db(self) -> float:
        """The lowest SQNR of the outputs and parts."""
        return min(self.sqnr_db.values())


class Cell(_Strict):
    """One model, one way, one calibration set; `problem` is the tool's error in one line."""

    way: str
    set: int
    date: str
    machine: str
    versions: dict[str, str]
    cost: Cost | None = None
    scores: Scores | None = None
    compiled: Compiled | None = None
    problem: str | None = None


class Record(_Strict):
    """All cells of a model, and what does not depend on a way."""

    model: str
    package: str
    data: str
    calibrated: int
    evaluated: int
    evaluation_seed: int
    float_top1: float | None = None
    float_detections: int | None = None
    cells: tuple[Cell, ...] = ()

    def cell(self, way: str, number: int) -> Cell | None:
        """The cell of a way and a set."""
        return next((c for c in self.cells if (c.way, c.set) == (way, number)), None)

    def of(self, way: str) -> tuple[Cell, ...]:
        """The cells of a way, in the order of the sets."""
        return tuple(sorted((c for c in self.cells if c.way == way), key=lambda c: c.set))

    def with_cells(self, cells: list[Cell], **shared: object) -> Record:
        """The record with these cells in place of those of the same ways and sets."""
        places = {(c.way, c.set) for c in cells}
        others = [c for c in self.cells if (c.way, c.set) not in places]
        ordered = sorted((*others, *cells), key=lambda c: (c.way, c.set))
        return self.model_copy(update={"cells": tuple(ordered), **shared})


def load(model: str, folder: Path = RESULTS) -> Record | None:
    """The record of a model; None when nothing was measured."""
    path = folder / f"{model}.json"
    return Record.model_validate_json(path.read_text("utf-8")) if path.exists() else None


def save(record: Record, folder: Path = RESULTS) -> None:
    """Write the record of a model, whole or not at all."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{record.model}.json"
    part = path.with_suffix(".part")
    part.write_text(record.model_dump_json(indent=1, exclude_none=True) + "\n", "utf-8")
    part.replace(path)
