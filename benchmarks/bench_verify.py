"""verify of a chain of 800 Convs with pairs, over the build of its engine alone: at most 1.15.

All in one process and once each: the build takes half a minute.

    python benchmarks/bench_verify.py [number of Convs]
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxq import verify
from onnxq.verification import builder

CHANNELS = 16


def chain(count, *, pairs):
    """Conv, Relu, Conv, Relu, ..., with pairs on the inputs of every Conv or without any."""
    rng = np.random.default_rng(0)
    nodes, constants, data = [], {}, "x"
    scales = {"scale": np.float32(0.05), "zero": np.int8(0)}
    per_channel = {"scales": np.full(CHANNELS, 0.02, np.float32), "zeros": np.zeros(CHANNELS, "i1")}
    constants |= {**scales, **per_channel} if pairs else {}

    def add(op, *inputs, **attributes):
        name = f"{op}_{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [f"{name}_out"], name=name, **attributes))
        return f"{name}_out"

    for index in range(count):
        weight = f"weight_{index}"
        shape = (CHANNELS, CHANNELS, 3, 3)
        if pairs:
            constants[weight] = rng.integers(-127, 128, shape, "i1")
            data = add("DequantizeLinear", add("QuantizeLinear", data, *scales), *scales)
            weight = add("DequantizeLinear", weight, *per_channel, axis=0)
        else:
            constants[weight] = rng.normal(size=shape).astype(np.float32)
        data = add("Relu", add("Conv", data, weight, pads=[1, 1, 1, 1]))
    nodes.append(helper.make_node("Identity", [data], ["y"], name="last"))
    shape = [1, CHANNELS, 32, 32]
    graph = helper.make_graph(
        nodes, "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def timed(work):
    """Seconds that a function takes, and what it returns."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main(count=800):
    """Print the seconds and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("model.onnx", "model.qdq.onnx")]
        for path, pairs in zip(paths, (False, True), strict=True):
            onnx.save(chain(count, pairs=pairs), path)
        os.environ["XDG_CACHE_HOME"] = folder
        job = {"model": str(paths[1]), "profiles": {}, "targets": ()}
        alone, _ = timed(lambda: builder.build(job, 3600))
        whole, report = timed(lambda: verify(*paths, timeout=3600))
        again, kept = timed(lambda: verify(*paths, timeout=3600))
    (model,) = report.models
    assert model.compiled.int8 == count
    assert kept.models == report.models
    print(f"build alone               {alone:7.1f} s")
    print(f"verify                    {whole:7.1f} s, {whole / alone:.2f} times the build alone")
    print(f"verify, build kept        {again:7.1f} s, {again / alone:.2f} times the build alone")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
