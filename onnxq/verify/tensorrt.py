"""Compiled: what a TensorRT compiler makes of each weighted op, on a machine without a GPU."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import onnx

from onnxq import model as models
from onnxq.diagnostics import BackendMissingError, Diagnostic, OnnxqError, error
from onnxq.graph import Graph, Node
from onnxq.lint import QdqModel, why_not_int8
from onnxq.verify.layers import LayerList, Precision, parse_layers
from onnxq.verify.macs import macs

BACKEND: Final = "tensorrt-rtx"
TIMEOUT: Final = 600.0  # seconds
INSTALL: Final = "pip install 'onnxq[rtx]'"
_PACKAGES: Final = ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx", "tensorrt_rtx")
# On a machine without a GPU driver the builder complains of that beside the real errors.
_NO_DRIVER: Final = re.compile(r"cuda ?error|cuda initialization|cudart|nvinfer.*driver", re.I)
# Seen in TensorRT-RTX 1.7: float whatever the Q/DQ, while TensorRT documents it as quantizable.
_KEPT_FLOAT: Final = frozenset({"ConvTranspose"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledOp:
    """One weighted op of the Q/DQ model; `reason` says why it is not int8, else it is ''.

    `macs` is None when its shapes are not known.
    """

    node: str
    op: str
    precision: Precision
    reason: str
    macs: int | None


class OpCount(NamedTuple):
    """Weighted ops of a kind: how many are int8, and how many there are."""

    int8: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledReport:
    """Every weighted op in node order, and the engine's size. Tells data types, not speed.

    `targets` are the compute capabilities that were asked for; none means the compiler's defaults.
    """

    backend: str
    version: str
    targets: tuple[tuple[int, int], ...]
    engine_bytes: int
    ops: tuple[CompiledOp, ...]

    @property
    def int8(self) -> int:
        """Number of weighted ops in int8."""
        return sum(op.precision == "int8" for op in self.ops)

    @property
    def counts(self) -> Mapping[str, OpCount]:
        """By kind of op: how many are int8, and how many there are."""
        total = Counter(op.op for op in self.ops)
        int8 = Counter(op.op for op in self.ops if op.precision == "int8")
        return {kind: OpCount(int8=int8[kind], total=total[kind]) for kind in sorted(total)}

    @property
    def int8_macs(self) -> float | None:
        """Share of multiply-accumulates in int8, 0 to 1; None when one op's are not known."""
        known = [op.macs for op in self.ops if op.macs is not None]
        if len(known) < len(self.ops) or not sum(known):
            return None
        return sum(op.macs or 0 for op in self.ops if op.precision == "int8") / sum(known)


def available() -> str | None:
    """Version of TensorRT-RTX where this Python has it, without importing it; else None."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        return None
    for package in _PACKAGES:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


def require() -> str:
    """Version of TensorRT-RTX; BackendMissingError (OQ601) where there is none."""
    version = available()
    if version is None:
        raise BackendMissingError(
            Diagnostic(code="OQ601", message="TensorRT-RTX is not installed", fix=INSTALL)
        )
    return version


def compile_report(
    qdq_path: str | Path,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    targets: Sequence[tuple[int, int]] | None = None,
    timeout: float = TIMEOUT,
) -> CompiledReport:
    """Build an engine in a process of its own and tell how it computes each weighted op.

    `shapes` gives the shape of every input with dynamic dimensions (OQ405 where one is missing);
    `targets` are compute capabilities such as (8, 9); `timeout` is in seconds.
    Raises OQ601 without TensorRT-RTX, OQ602 when it rejects the model, crashes or runs too long.
    """
    require()
    read = QdqModel(models.load(qdq_path))
    dynamic = {n: tuple(s) for n, s in (shapes or {}).items() if n in _dynamic_inputs(read.graph)}
    _require_shapes(read.graph, dynamic)
    with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
        built = _build(
            Path(folder),
            {
                "model": str(_named_file(read, Path(qdq_path), Path(folder))),
                "shapes": dynamic,
                "targets": targets,
            },
            timeout,
        )
    layers = parse_layers(built["layers"])
    shaped = Graph(read.named, shapes=dynamic)
    return CompiledReport(
        backend=BACKEND,
        version=built["version"],
        targets=tuple(targets or ()),
        engine_bytes=built["engine_bytes"],
        ops=tuple(_compiled_op(read, shaped, layers, node) for node in read.weighted_nodes),
    )


def _dynamic_inputs(graph: Graph) -> dict[str, str]:
    """Inputs whose shape the model leaves open, and that shape as text."""
    shapes = {name: graph.type(name).shape for name in graph.inputs}
    return {
        name: "unknown" if shape is None else "x".join(str(d or "?") for d in shape)
        for name, shape in shapes.items()
        if shape is None or not all(isinstance(d, int) and d >= 0 for d in shape)
    }


def _require_shapes(graph: Graph, shapes: Mapping[str, Sequence[int]]) -> None:
    for name, shape in _dynamic_inputs(graph).items():
        if name not in shapes:
            raise error(
                "OQ405",
                f"input '{name}' has no fixed shape ({shape})",
                fix=f"give it, as in --shape {name}:1x3x640x640",
            )


def _named_file(read: QdqModel, path: Path, folder: Path) -> Path:
    """The model's file, or a copy in which every node has the name that the report uses."""
    if read.named is read.proto:
        return path.absolute()
    named = folder / "model.onnx"
    huge = read.named.ByteSize() >= onnx.checker.MAXIMUM_PROTOBUF
    onnx.save(read.named, named, save_as_external_data=huge)
    return named


def _build(folder: Path, job: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    job_path, result_path, log_path = (folder / n for n in ("job.json", "result.json", "log.txt"))
    job_path.write_text(json.dumps(job), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "onnxq.verify._build", str(job_path), str(result_path)]
    try:
        with log_path.open("wb") as log:
            code = subprocess.run(
                command, env=_environment(), stdout=log, stderr=log, timeout=timeout, check=False
            ).returncode
    except subprocess.TimeoutExpired:
        ending = f"did not finish in {timeout:g} s"
        raise _failed(ending, _log(log_path), fix="give it more with --timeout") from None
    if code or not result_path.exists():
        raise _failed(_ending(code), _log(log_path))
    result: dict[str, Any] = json.loads(result_path.read_text(encoding="utf-8"))
    return result


def _environment() -> dict[str, str]:
    here = str(Path(__file__).parents[2])  # this very onnxq, installed or not
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "POLYGRAPHY_USE_TENSORRT_RTX": "1", "PYTHONPATH": path}


def _log(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line.strip().removeprefix("[E] ") for line in lines]
    return [line for line in told if line and not _NO_DRIVER.search(line)]


def _ending(code: int) -> str:
    if code < 0:
        known = {s.value for s in signal.Signals}
        return f"crashed ({signal.Signals(-code).name if -code in known else f'signal {-code}'})"
    return "rejected the model"


def _failed(
    ending: str,
    log: list[str],
    *,
    fix: str = "see what lint says of the model, or leave what it names in float",
) -> OnnxqError:
    said = f": {_told(log)}" if log else ""
    return error("OQ602", f"TensorRT-RTX {ending}{said}", fix=fix)


def _told(log: list[str]) -> str:
    """The most telling line of a log: of the parser on a node, of the builder, or the last."""
    for pattern in (r"In node ", r"Assertion failed|Error Code", ""):
        for line in reversed(log):
            if re.search(pattern, line):
                return line[max(line.find("In node "), 0) :].strip()[:600]
    return ""


def _compiled_op(read: QdqModel, shaped: Graph, layers: LayerList, node: Node) -> CompiledOp:
    precision = layers.precision(node.name)
    return CompiledOp(
        node=node.name,
        op=node.op,
        precision=precision,
        reason=_reason(read, layers, node, precision),
        macs=macs(shaped, shaped.by_name[node.name]),
    )


def _reason(read: QdqModel, layers: LayerList, node: Node, precision: Precision) -> str:
    if precision == "int8":
        return ""
    if precision == "unknown":
        read_all = layers.layers and not layers.unreadable
        return (
            "no engine layer that computes a product names it"
            if read_all
            else "the compiler's list of layers could not be read"
        )
    kept = f"TensorRT-RTX keeps {node.op} in float" if node.op in _KEPT_FLOAT else ""
    return why_not_int8(read, node) or kept or "the compiler chose float"
