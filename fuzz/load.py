"""Give onnxq more than anybody has, and measure time and memory: python fuzz/load.py [CASE ...].

The figures go into fuzz/load.json, from which fuzz/page.py writes docs/reliability.md. The folder
needs 25 GB and the machine 24 GB of memory for the largest case.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

TALLY = Path(__file__).with_name("load.json")
ONNXQ = Path(sys.executable).with_name("onnxq")
RANDOM = "calibrate model.onnx --data random"
QUANTIZE = "quantize model.onnx --data random --samples 4 --backend onnxruntime"
GENERATOR = np.random.default_rng(0)


def saved(nodes: list[onnx.NodeProto], weights: list[TensorProto], **shapes: list[int]) -> None:
    """Write model.onnx; the last node's output is the output, the `shapes` are of inputs."""
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", inputs, [output], weights)
    opset = [helper.make_opsetid("", 17)]
    Path("model.onnx").write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
    )


def weight(name: str, *shape: int) -> TensorProto:
    """A random weight that keeps the variance of what it is multiplied with."""
    values = GENERATOR.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
    return numpy_helper.from_array(values.astype(np.float32), name)


def convs(count: int, long: str = "") -> None:
    """A chain of Conv, Relu, Add and Tanh, `count` of each."""
    nodes, weights, x = [], [], "x"
    for i in range(count):
        weights.append(weight(f"w{i}{long}", 2, 2, 1, 1))
        for op, inputs in (
            ("Conv", [x, f"w{i}{long}"]),
            ("Relu", [f"Conv{i}{long}"]),
            ("Add", [f"Relu{i}{long}", x]),
            ("Tanh", [f"Add{i}{long}"]),
        ):
            nodes.append(helper.make_node(op, inputs, [f"{op}{i}{long}"], f"{op}_{i}{long}"))
        x = f"Tanh{i}{long}"
    saved(nodes, weights, x=[1, 2, 4, 4])


def pictures() -> None:
    """100,000 names of 200 pictures."""
    Path("imgs").mkdir()
    for i in range(100_000):
        name, first = f"imgs/{i:06}.png", f"imgs/{i % 200:06}.png"
        if i < 200:
            values = GENERATOR.integers(0, 255, (16, 16, 3), np.uint8)
            Image.fromarray(values).save(name)
        else:
            os.link(first, name)
    conv = helper.make_node("Conv", ["x", "w"], ["y"], "conv", pads=[1, 1, 1, 1])
    saved([conv], [weight("w", 4, 3, 3, 3)], x=[1, 3, 16, 16])


def ten_gigabytes() -> None:
    """15 MatMuls with weights of 676 MB each in one file."""
    side, nodes, weights = 13_000, [], []
    values = GENERATOR.standard_normal((side, side), np.float32) / np.float32(np.sqrt(side))
    with Path("weights.bin").open("wb") as file:
        for i in range(15):
            tensor = TensorProto(name=f"w{i}", data_type=1, dims=[side, side])
            tensor.data_location = TensorProto.EXTERNAL
            place = {"location": file.name, "offset": file.tell(), "length": values.nbytes}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
            weights.append(tensor)
            file.write(np.roll(values, i, axis=0).data)
            x = f"r{i - 1}" if i else "x"
            nodes += [
                helper.make_node("MatMul", [x, f"w{i}"], [f"m{i}"], f"mul{i}"),
                helper.make_node("Relu", [f"m{i}"], [f"r{i}"], f"relu{i}"),
            ]
    saved(nodes, weights, x=[1, side])


def inputs() -> None:
    """64 inputs, added up."""
    names = [f"x{i}" for i in range(64)]
    nodes = [
        helper.make_node("Sum", names, ["s"], "sum"),
        helper.make_node("Conv", ["s", "w"], ["y"], "conv"),
    ]
    saved(nodes, [weight("w", 4, 3, 1, 1)], **{name: [1, 3, 16, 16] for name in names})


VERIFY = "verify model.onnx model.qdq.onnx --data random --samples 2 --backend onnxruntime"
CASES: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "100,000 pictures": (pictures, ("calibrate model.onnx --data imgs --preprocess unit",)),
    "50,000 nodes": (
        lambda: convs(12_500), ("plan model.onnx", RANDOM, "insert", "lint model.qdq.onnx"),
    ),
    "2,000 pairs on a page": (lambda: convs(1_000), (f"{QUANTIZE} --tensors --html page.html",)),
    "64 inputs": (inputs, (QUANTIZE,)),
    "names of 4,096 characters": (lambda: convs(20, "n" * 4096), (QUANTIZE,)),
    "10 GB of external data": (
        ten_gigabytes,
        ("plan model.onnx", f"{RANDOM} --samples 4", "insert", "lint model.qdq.onnx", VERIFY),
    ),
    "32 commands at once": (lambda: convs(20), (QUANTIZE,)),
}  # fmt: skip
TIMES = {"32 commands at once": 32}


def measured(command: str, times: int) -> dict[str, object]:
    """Run a command so many times at once; what the processes took together."""
    start = time.monotonic()
    several = [
        subprocess.Popen([ONNXQ, *command.split(), "--quiet"], stdout=subprocess.DEVNULL)
        for _ in range(times)
    ]
    ended = [os.wait4(process.pid, 0)[1:] for process in several]
    return {
        "command": command,
        "times": times,
        "exit_codes": sorted({os.waitstatus_to_exitcode(status) for status, _ in ended}),
        "wall_s": round(time.monotonic() - start, 1),
        "cpu_s": round(sum(usage.ru_utime + usage.ru_stime for _, usage in ended), 1),
        "peak_mib": round(max(usage.ru_maxrss for _, usage in ended) / 1024),
    }


def main() -> None:
    """Run the cases that are named, or all, each in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], metavar="CASE", default=[])
    for name in parser.parse_args().cases or CASES:
        folder = tempfile.mkdtemp(prefix="onnxq-load-")
        os.chdir(folder)
        make, commands = CASES[name]
        make()
        rows = [measured(command, TIMES.get(name, 1)) for command in commands]
        print(name, *rows, sep="\n  ", flush=True)
        tally = json.loads(TALLY.read_text()) if TALLY.exists() else {}
        TALLY.write_text(json.dumps({**tally, name: rows}, indent=1) + "\n")
        os.chdir("/")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
