"""Hold what measure.py found against the cost model, and write benchmarks/GPU.md.

    python benchmarks/gpu/compare.py RESULT.json --models FOLDER --gpu NAME [--write]

FOLDER has the files that were measured; `--gpu` is a name of onnxq/cost/gpus.yaml or a YAML file.
It needs TensorRT-RTX and no GPU. `--write` keeps the record, and makes the page of all records.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bundle
import gpu_page
import held
from held import Held, Predicted
from measured import Engine, Result

sys.path.append(str(Path(__file__).parents[1]))
from ways import commit

from onnxq.cores import cores
from onnxq.cost import gpu as gpus
from onnxq.cost.gpu import Gpu
from onnxq.diagnostics import OnnxqError
from onnxq.verification import tensorrt
from onnxq.verification.costing import cost_of


def predicted(folder: Path, network: str, engine: Engine, gpu: Gpu) -> Predicted:
    """The least time of the file that an engine was built from."""
    path = bundle.model(folder, network, engine.name)
    if not path.exists():
        return Predicted(problem="the file is not in the folder of models")
    if bundle.digest(path) != engine.digest:
        return Predicted(problem="the file is not the one that was measured")
    try:
        cost = cost_of("qdq", tensorrt.compile_model(path), gpu)
    except OnnxqError as failed:
        return Predicted(problem=failed.diagnostics[0].message[:300])
    return Predicted(ms=1000 * cost.seconds)


def hold(result: Result, folder: Path, gpu: Gpu) -> Held:
    """The result with the predictions for every engine that ran."""
    engines = [(m.network, e) for m in result.networks for e in m.engines if e.latency is not None]
    with ThreadPoolExecutor(cores()) as pool:
        costs = list(pool.map(lambda place: predicted(folder, *place, gpu), engines))
    by_network: dict[str, dict[str, Predicted]] = {}
    for (network, engine), cost in zip(engines, costs, strict=True):
        by_network.setdefault(network, {})[engine.name] = cost
    return Held(gpu=gpu.name, onnxq=commit(), result=result, predicted=by_network)


def nothing(path: Path, result: Result) -> str:
    """Why a result has nothing to compare."""
    counts = held.counts(result)
    lines = [
        f"{path}: none of {counts['all']} engines ran, so that there is nothing to compare; "
        f"{counts['built']} were built",
        *(f"  {len(names)}: {why}" for why, names in held.problems(result).items()),
        "run benchmarks/gpu/run.sh on a machine with an NVIDIA GPU, and give its file",
    ]
    return "\n".join(lines)


def main() -> None:
    """Compare, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path, help="the file of measure.py")
    parser.add_argument("--models", type=Path, required=True, help="what prepare.py wrote")
    parser.add_argument("--gpu", required=True, help="name in onnxq/cost/gpus.yaml, or a YAML file")
    parser.add_argument("--write", action="store_true", help="keep the record and write GPU.md")
    arguments = parser.parse_args()
    try:
        gpu = gpus.load(arguments.gpu)
    except OnnxqError as wrong:
        sys.exit(str(wrong))
    result = Result.load(arguments.result)
    if not held.counts(result)["ran"]:
        sys.exit(nothing(arguments.result, result))
    record = hold(result, arguments.models, gpu)
    print(gpu_page.section(record))
    if arguments.write:
        record.save()
        gpu_page.PAGE.write_text(gpu_page.text(held.load()), "utf-8")


if __name__ == "__main__":
    main()
