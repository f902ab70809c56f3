"""What inserting pairs costs on a large model, against onnx.load and onnx.save of the same file.

Run: python benchmarks/bench_large.py. Makes a model of 1 GB, inline and with external data, in a
temporary folder (4 GB of disk). Each way runs in a process of its own; they alternate, medians are
printed. The ratios matter, not the seconds, which depend on the machine and what else it does.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from onnx import TensorProto, helper

ROUNDS = 5
WIDTH, LAYERS = 8192, 4  # 1 GB
ONNXQ = Path(sys.executable).with_name("onnxq")
LOAD_AND_SAVE = """
import sys, onnx
model, external = onnx.load(sys.argv[1]), sys.argv[2] == "external"
onnx.save(model, "again.onnx", save_as_external_data=external, location="again.data")
"""


def make(path, external):
    """Write a chain of MatMuls with random weights."""
    rng = np.random.default_rng(0)
    tensors = [f"h{i}" for i in range(LAYERS + 1)]
    nodes = [
        helper.make_node("MatMul", [tensors[i], f"w{i}"], [tensors[i + 1]]) for i in range(LAYERS)
    ]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, WIDTH])
        for name in (tensors[0], tensors[-1])
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "chain", ports[:1], ports[1:]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    for index in range(LAYERS):
        values = rng.standard_normal((WIDTH, WIDTH), np.float32) / np.float32(WIDTH**0.5)
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(values, f"w{index}"),
        )
    onnx.save(model, path, save_as_external_data=external, location=f"{path.name}.data")
    np.save(path.with_name("x.npy"), rng.standard_normal((1, WIDTH), np.float32))


def measured(*command, cwd):
    """Seconds of a command, and its peak of resident memory in bytes."""
    start = time.perf_counter()
    process = subprocess.Popen([*map(str, command)], cwd=cwd)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def report(folder, form):
    """Print the medians and the ratios for one form of the model."""
    # In a process of its own: memory that this one had would count as that of its children.
    measured(sys.executable, Path(__file__).resolve(), folder / "m.onnx", form, cwd=folder)
    size = sum(p.stat().st_size for p in folder.glob("m.onnx*"))
    measured(ONNXQ, "calibrate", "m.onnx", "--data", "x.npy", "--quiet", cwd=folder)
    commands = {
        "onnx.load and onnx.save": (sys.executable, "-c", LOAD_AND_SAVE, "m.onnx", form),
        "onnxq insert": (ONNXQ, "insert", "m.onnx", "--quiet", "-o", "q.onnx"),
    }
    rounds = []
    for _ in range(ROUNDS):
        measurements = {}
        for name, command in commands.items():
            for old in (*folder.glob("again.*"), *folder.glob("q.onnx*")):
                old.unlink()
            measurements[name] = measured(*command, cwd=folder)
        rounds.append(measurements)
    first = median(r["onnx.load and onnx.save"][0] for r in rounds)
    print(f"{form}, {size / 1e9:.2f} GB")
    for name in commands:
        seconds, memory = (median(r[name][i] for r in rounds) for i in range(2))
        print(
            f"  {name:24} {seconds:6.2f} s {seconds / first:5.2f} x"
            f"  {memory / 1e9:6.2f} GB {memory / size:5.2f} x the model"
        )


def main():
    """Print the tables, or make a model: PATH inline|external."""
    if sys.argv[1:]:
        make(Path(sys.argv[1]), sys.argv[2] == "external")
        return
    for form in ("inline", "external"):
        with tempfile.TemporaryDirectory() as folder:
            report(Path(folder), form)


if __name__ == "__main__":
    main()
