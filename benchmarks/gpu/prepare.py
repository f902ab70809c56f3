"""Write the models, Q/DQ files and samples that run.sh measures, with what onnxruntime computes.

    python benchmarks/gpu/prepare.py FOLDER [--networks NAME ..] [--peers FOLDER]

prepare.sh calls it. `--peers` is the working folder of benchmarks/accuracy.py: the files of the
peers in it, NETWORK/WAY-1.onnx, become engines beside those of onnxq.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import bundle
import numpy as np
import onnx
from bundle import FLOAT, Bundle, EngineFile, Network

sys.path.append(str(Path(__file__).parents[1]))
from subjects import SUBJECTS, Subject
from ways import commit

import onnxq
from onnxq.passed_arrays import save_arrays
from onnxq.verification.engines import fp16_model
from onnxq.verification.numeric.runners import infer, runner
from tests.cost.placements import PLACEMENTS, network

Tensors = dict[str, np.ndarray]
PEERS = ("modelopt-entropy", "modelopt-max", "nncf", "onnxruntime")
SET = 1  # the calibration set
SAMPLES = 4  # of a model; of the placements, whose tensors are large, one
SIDE = 256  # pixels; at the 64 of the tests launches take longer than the kernels
DEPTHWISE = """schema: 1
extends: trt-int8
rules:
  - id: depthwise-in-float
    why: INT8 pads the channels of each group to 4.
    match: {op: Conv, attr: {group: "> 1"}}
    skip: all
"""


def of_model(name: str, subject: Subject, folder: Path, peers: Path | None) -> Iterator[str]:
    """Write the files of a model and yield the name of each: FP32, FP16, INT8, those of peers."""
    path = bundle.model(folder, name, FLOAT)
    float_model = subject.model()
    onnx.save(float_model, path)
    yield FLOAT
    statistics = onnxq.calibrate(path, subject.calibration(SET, None))
    fp16_model(path, path.parent, statistics)
    yield "fp16"
    recipes = {"": "trt-int8"}
    if any(_is_depthwise(node) for node in float_model.graph.node):
        rules = path.with_name("depthwise.yaml")
        rules.write_text(DEPTHWISE, "utf-8")
        recipes["-depthwise-float"] = str(rules)
    for suffix, recipe in recipes.items():
        for float_type in ("fp32", "fp16"):
            engine = f"int8{suffix}" + "-fp16" * (float_type == "fp16")
            output = bundle.model(folder, name, engine)
            onnxq.insert(path, recipe, statistics, float_type=float_type, output=output)
            yield engine
    for way in PEERS if peers is not None else ():
        if (file := peers / name / f"{way}-{SET}.onnx").exists():
            shutil.copyfile(file, bundle.model(folder, name, way))
            yield way


def _is_depthwise(node: onnx.NodeProto) -> bool:
    return node.op_type == "Conv" and any(a.name == "group" and a.i > 1 for a in node.attribute)


def of_placements(folder: Path) -> Iterator[str]:
    """Write each placement of the network, and in FP16 that without pairs."""
    for name, choices in PLACEMENTS.items():
        engine = FLOAT if name == "none" else name
        onnx.save(network(**choices, size=SIDE), bundle.model(folder, "placements", engine))
        yield engine
    path = bundle.model(folder, "placements", FLOAT)
    fp16_model(path, path.parent)
    yield "fp16"


def first_samples(arrays: Mapping[str, np.ndarray]) -> list[Tensors]:
    """The first samples of a set, each with a batch of one."""
    return [
        {name: np.ascontiguousarray(array[i : i + 1]) for name, array in arrays.items()}
        for i in range(SAMPLES)
    ]


def drawn() -> list[Tensors]:
    """A sample of the placements' input."""
    values = np.random.default_rng(0).normal(size=(1, 4, SIDE, SIDE))
    return [{"x": values.astype(np.float32)}]


def computed(folder: Path, described: Network, tensors: list[Tensors]) -> None:
    """Write the samples, and what onnxruntime computes of each file, as written."""
    (folder / described.name / "samples").mkdir()
    for path, sample in zip(bundle.samples(folder, described), tensors, strict=True):
        save_arrays(path, sample)
    for engine in described.engines:
        paths = bundle.expected(folder, described, engine.name)
        paths[0].parent.mkdir(parents=True)
        file = bundle.model(folder, described.name, engine.name)
        with runner(onnx.load(file), engine.name) as session:
            for path, sample in zip(paths, tensors, strict=True):
                save_arrays(path, infer(session, sample))


def prepared(name: str, folder: Path, peers: Path | None) -> Network:
    """Write all files of a network."""
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    subject = SUBJECTS.get(name)
    engines = of_placements(folder) if subject is None else of_model(name, subject, folder, peers)
    tensors = drawn() if subject is None else first_samples(subject.evaluation(None)[1])
    described = Network(
        name=name,
        title="placements of one network" if subject is None else subject.title,
        kind="placements" if subject is None else "model",
        samples=len(tensors),
        engines=tuple(
            EngineFile(name=engine, digest=bundle.digest(bundle.model(folder, name, engine)))
            for engine in engines
        ),
    )
    computed(folder, described, tensors)
    return described


def main() -> None:
    """Write the bundle."""
    names = ("mobilenet_v2", "yolox", "placements", "minilm", *SUBJECTS)  # the first matter most
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--networks", nargs="*", choices=names, default=list(dict.fromkeys(names)))
    parser.add_argument("--peers", type=Path, help="working folder of benchmarks/accuracy.py")
    arguments = parser.parse_args()
    networks = []
    for name in arguments.networks:
        networks.append(prepared(name, arguments.folder, arguments.peers))
        print(name, *(engine.name for engine in networks[-1].engines), sep=" | ", flush=True)
    text = Bundle(onnxq=commit(), networks=tuple(networks)).model_dump_json(indent=1)
    (arguments.folder / "bundle.json").write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main()
