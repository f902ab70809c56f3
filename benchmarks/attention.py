"""Attention in TensorRT-RTX: what the default recipe makes of each form that exporters write.

    pip install --no-deps -r benchmarks/requirements.txt
    python benchmarks/attention.py [--only TEXT] [--write]

Each form is quantized with the default recipe and an FP16 rest, once more with its attention left
in float, and once by trt-fp8; TensorRT-RTX builds all of them and the FP16 engine of the float
model. Records are in benchmarks/attention_results.json; `--write` makes benchmarks/ATTENTION.md.
Times are the least ones of onnxq's cost model for one GPU: no GPU is needed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from attention_forms import FORMS, Form
from onnx import helper
from page import table

import onnxq
from onnxq.cost.gpu import load
from onnxq.diagnostics import OnnxqError
from onnxq.verification import tensorrt
from onnxq.verification.costing import cost_of
from onnxq.verification.engines import fp16_model

GPU = "l4"
RECORDS = Path(__file__).with_name("attention_results.json")
PAGE = Path(__file__).with_name("ATTENTION.md")
LEFT = """schema: 1
extends: trt-int8
rules:
  - id: attention
    why: To compare with attention in float.
    match: {all: [{op: [MatMul, Einsum]}, {not: {shape: {weights: [...]}}}]}
    skip: all
"""
INTRODUCTION = """# Attention in TensorRT-RTX

`python benchmarks/attention.py --write` makes this page from the records in
`benchmarks/attention_results.json`; no figure is typed by hand.

One block of each form, with random weights: 4 heads of 64 and 64 tokens unless its name says
otherwise. The default recipe places the pairs, the rest is in FP16 (`--float fp16`).

- pairs on products: which products of attention have pairs, and how many of the others. A rule
  keeps attention in half precision where TensorRT-RTX has no INT8 kernel for it.
- kernel: what computes the attention of the INT8 engine: one kernel for all of it, and its type, or
  several.
- conv.: kernels of the INT8 engine that only convert.
- INT8 of FP16, and the columns behind it: the least time of the engine over that of the FP16
  engine, by onnxq's cost model for one GPU; below 1 is faster. "attention float" is the same recipe
  with attention left in FP16, "FP8" is the recipe trt-fp8.
"""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One engine: its least time over the FP16 engine's, or the reason why there is none."""

    ratio: float | None = None
    kernel: str = ""
    conversions: int = 0
    placement: str = ""
    problem: str = ""


def samples(model: onnx.ModelProto) -> list[dict[str, np.ndarray]]:
    """Four samples of random numbers; masks let everything through, places are in order."""
    rng = np.random.default_rng(0)

    def values(port):
        tensor = port.type.tensor_type
        shape = [d.dim_value for d in tensor.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if dtype.kind == "b":
            return np.ones(shape, bool)
        if dtype.kind in "iu":
            return np.broadcast_to(np.arange(shape[-1]), shape).astype(dtype)
        return rng.normal(size=shape).astype(dtype)

    return [{port.name: values(port) for port in model.graph.input} for _ in range(4)]


def measured(form: Form) -> dict[str, object]:
    """The engines of one form."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = form.model()
        onnx.save(model, folder / "model.onnx")
        (folder / "left.yaml").write_text(LEFT)
        shown: dict[str, object] = {"title": form.title, "family": form.family}
        try:
            statistics = onnxq.calibrate(folder / "model.onnx", samples(model))
            base = tensorrt.compile_model(fp16_model(folder / "model.onnx", folder, statistics))
            fp16 = cost_of("fp16", base, load(GPU)).seconds
        except OnnxqError as failed:
            return {**shown, "problem": _reason(failed)}
        for key, recipe in (
            ("int8", "trt-int8"),
            ("left", folder / "left.yaml"),
            ("fp8", "trt-fp8"),
        ):
            shown[key] = asdict(_engine(folder, recipe, statistics, fp16))
        return shown


def _engine(folder: Path, recipe: str | Path, statistics: onnxq.Statistics, fp16: float) -> Engine:
    path = folder / "qdq.onnx"
    try:
        model = onnxq.load(folder / "model.onnx")
        onnxq.insert(model, onnxq.plan(model, recipe), statistics, output=path, float_type="fp16")
        compiled = tensorrt.compile_model(path)
        cost = cost_of("qdq", compiled, load(GPU))
    except OnnxqError as failed:
        return Engine(problem=_reason(failed))
    kernels = [layer for layer in compiled.layers.layers if layer.is_attention]
    types = sorted({tensor.dtype for layer in kernels for tensor in layer.inputs})
    return Engine(
        ratio=round(cost.seconds / fp16, 3),
        kernel=f"one, {'+'.join(types)}" if kernels else "several",
        conversions=sum(1 for step in cost.steps if step.converts),
        placement=_placement(path),
    )


def _placement(path: Path) -> str:
    """How many products of two activations have pairs, and how many with weights."""
    graph = onnxq.load(path, existing="keep").graph
    products = [node for node in graph.nodes if node.op in ("MatMul", "Gemm", "Einsum")]
    counts = {}
    for node in products:
        makers = [graph.producer(tensor) for tensor in node.inputs[:2]]
        pairs = sum(maker is not None and maker.op == "DequantizeLinear" for maker in makers)
        is_weight = any(_stored(graph, tensor) for tensor in node.inputs[:2])
        done, every = counts.get(is_weight, (0, 0))
        counts[is_weight] = (done + (pairs == 2), every + 1)
    names = {False: "of attention", True: "of weights"}
    return ", ".join(f"{counts[k][0]}/{counts[k][1]} {names[k]}" for k in sorted(counts))


def _stored(graph: onnxq.model.graph.Graph, tensor: str) -> bool:
    """True for a weight, with or without a pair."""
    while (maker := graph.producer(tensor)) is not None and maker.inputs:
        tensor = maker.inputs[0]
        if maker.op != "DequantizeLinear":
            return graph.is_constant(tensor)
    return graph.is_constant(tensor)


def _reason(failed: OnnxqError) -> str:
    first = failed.diagnostics[0]
    message = re.sub(r"/\S*/", "", " ".join(first.message.split()))  # folders of this run
    return f"{first.code}: {message}"[:160]


def page(records: list[dict]) -> str:
    """The page of all records."""
    rows, problems = [], []
    for record in records:
        engines = [record.get(key) for key in ("int8", "left", "fp8")]
        problem = record.get("problem") or (engines[0] or {}).get("problem")
        if problem:
            problems.append(f"- {record['family']}, {record['title']}: `{problem}`")
        int8, left, fp8 = (engine or {} for engine in engines)
        rows.append(
            (
                record["title"], record["family"], int8.get("placement") or "-",
                int8.get("kernel") or "**no build**", str(int8.get("conversions", "-")),
                *(_ratio(engine) for engine in (int8, left, fp8)),
            )
        )  # fmt: skip
    head = (
        "form",
        "of",
        "pairs on products",
        "kernel",
        "conv.",
        "INT8 of FP16",
        "attention float",
        "FP8",
    )
    facts = json.loads(RECORDS.read_text())
    parts = [INTRODUCTION, table(head, rows)]
    if problems:
        parts += ["## What does not build", "\n".join(problems)]
    parts.append(
        f"TensorRT-RTX {facts['tensorrt_rtx']}, least times for {facts['gpu']}, {facts['date']}."
    )
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _ratio(engine: dict) -> str:
    return "-" if engine.get("ratio") is None else f"{engine['ratio']:.2f}"


def main() -> None:
    """Measure the forms that are not recorded yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="forms whose title or family contains this")
    parser.add_argument("--again", action="store_true", help="measure recorded forms too")
    parser.add_argument("--write", action="store_true", help="write ATTENTION.md")
    options = parser.parse_args()
    facts = json.loads(RECORDS.read_text()) if RECORDS.exists() else {"forms": []}
    known = {(record["title"], record["family"]): record for record in facts["forms"]}
    for form in FORMS:
        key = (form.title, form.family)
        if options.only not in f"{form.family} {form.title}" or (
            key in known and not options.again
        ):
            continue
        known[key] = measured(form)
        print(json.dumps(known[key]), flush=True)
        facts = {
            "date": datetime.date.today().isoformat(),
            "gpu": load(GPU).name,
            "tensorrt_rtx": tensorrt.available(),
            "forms": [known[k] for f in FORMS if (k := (f.title, f.family)) in known],
        }
        RECORDS.write_text(json.dumps(facts, indent=1) + "\n")
    if options.write:
        PAGE.write_text(page(facts["forms"]))


if __name__ == "__main__":
    main()
