"""Compiled: what a TensorRT compiler makes of each weighted op, on a machine without a GPU."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from onnxq.diagnostics import (
    BackendMissingError,
    Diagnostic,
    OnnxqError,
    Severity,
    counted,
    warning,
)
from onnxq.lint import Expected, QdqModel, predict_op
from onnxq.model import io as models
from onnxq.model.dimensions import without_names
from onnxq.model.graph import Node
from onnxq.verify import build_cache, builder
from onnxq.verify.conversions import Conversions, conversions
from onnxq.verify.gpu import gpu
from onnxq.verify.inspector import parse_inspector
from onnxq.verify.layers import TESTED_VERSIONS, Computed, LayerList, Precision, parse_layers
from onnxq.verify.macs import is_product, macs, runs_once
from onnxq.verify.profiles import Profile, contradictions, of_dynamic_inputs
from onnxq.verify.shapes import Shapes
from onnxq.verify.targets import Target

Compiler = Literal["tensorrt-rtx", "tensorrt"]

TIMEOUT: Final = 600.0  # seconds
TESTED: Final[dict[Compiler, tuple[str, ...]]] = {"tensorrt-rtx": TESTED_VERSIONS, "tensorrt": ()}
INSTALL: Final = "pip install 'onnxq[rtx]'"
_PACKAGES: Final = ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx", "tensorrt_rtx")
_OTHERWISE: Final[Mapping[Precision, str]] = {
    "fp8": "it is quantized to fp8",
    "int4": "its weights are int4, and it computes in float",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """What a build depends on beside the model.

    `profiles` give the shapes of inputs with dynamic dimensions, `targets` are compute capabilities
    such as (8, 9), none for the compiler's defaults; `timeout` is in seconds. With `cache` a build
    that was done before is not done again. The `compiler` "tensorrt" needs a GPU, and tells less of
    its layers: more ops are 'unknown' then.
    """

    compiler: Compiler = "tensorrt-rtx"
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    timeout: float = TIMEOUT
    cache: bool = True


DEFAULTS: Final = CompileOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledOp:
    """One weighted op of the Q/DQ model; `reason` says why it is not int8, else it is ''.

    `expected` is what lint expected of it. `dtype` is what it multiplies: 'int8', 'fp8', 'fp32',
    'fp16', 'bf16', or '' when the engine does not tell; 'int4' are weights that are multiplied
    with floats. `layers` are the engine's layers that compute it. `macs` is None when its shapes
    are not known, or how often a Loop or Scan runs it.
    """

    node: str
    op: str
    precision: Precision
    expected: Expected
    dtype: str
    reason: str
    macs: int | None
    layers: tuple[str, ...]


class OpCount(NamedTuple):
    """Weighted ops of a kind: how many are int8 or fp8 or have int4 weights, and how many are."""

    int8: int
    fp8: int
    int4: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledReport:
    """Every weighted op in node order, and the engine's size. Tells data types, not speed.

    `targets` are the compute capabilities that were asked for; none means the compiler's defaults.
    `conversions` are None where the compiler does not list its kernels, `fp32_engine_bytes` is the
    size of the float model's engine, when that was built too.
    """

    backend: str
    version: str
    targets: tuple[Target, ...]
    engine_bytes: int
    fp32_engine_bytes: int | None = None
    conversions: Conversions | None
    ops: tuple[CompiledOp, ...]
    notes: tuple[Diagnostic, ...] = ()

    @property
    def int8(self) -> int:
        """Number of weighted ops in int8."""
        return sum(op.precision == "int8" for op in self.ops)

    @property
    def counts(self) -> Mapping[str, OpCount]:
        """By kind of op: how many are quantized, and how many there are."""
        found: dict[str, Counter[str]] = {}
        for op in self.ops:
            found.setdefault(op.op, Counter())[op.precision] += 1
        return {
            kind: OpCount(n["int8"], n["fp8"], n["int4"], total=n.total())
            for kind, n in sorted(found.items())
        }

    @property
    def macs(self) -> Mapping[str, float] | None:
        """Share of multiply-accumulates by data type; None when one op's are not known.

        The types are those of CompiledOp.dtype, with 'unknown' for an op that nothing tells about.
        """
        known = [op.macs for op in self.ops if op.macs is not None]
        total = sum(known)
        if len(known) < len(self.ops) or not total:
            return None
        shares: Counter[str] = Counter()
        for op in self.ops:
            shares[op.dtype or op.precision] += op.macs or 0
        return {dtype: count / total for dtype, count in shares.items()}

    @property
    def int8_macs(self) -> float | None:
        """Share of multiply-accumulates that surely are in int8, 0 to 1; None as `macs`."""
        shares = self.macs
        return None if shares is None else shares.get("int8", 0.0)

    @property
    def quantized_macs(self) -> float | None:
        """Share of multiply-accumulates in int8 or fp8, or with int4 weights; None as `macs`."""
        shares = self.macs
        return None if shares is None else sum(shares.get(t, 0.0) for t in ("int8", "fp8", "int4"))


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


def require_backend(name: str) -> None:
    """Raise BackendMissingError (OQ601) for a compiler that was named and is not there."""
    if name in ("tensorrt-rtx", "tensorrt"):
        _version(name)


def _version(compiler: str) -> str:
    return require() if compiler == "tensorrt-rtx" else _full_version()


def _full_version() -> str:
    """Version of TensorRT; OQ601 where it or a GPU is missing."""
    if importlib.util.find_spec("tensorrt") is None:
        message, fix = "TensorRT is not installed", "pip install 'onnxq[trt]'"
    elif not gpu():
        message, fix = "TensorRT needs a GPU, and there is none", "use --backend tensorrt-rtx"
    else:
        return importlib.metadata.version("tensorrt")
    raise BackendMissingError(Diagnostic(code="OQ601", message=message, fix=fix))


def job(path: str | Path, options: CompileOptions, folder: Path) -> dict[str, Any]:
    """What `builder.build` takes; a copy of the model goes to the folder where one is needed.

    Raises OQ405 where an input's profile is missing or does not fit.
    """
    read = QdqModel(models.load(path))
    return _job(read, Path(path), of_dynamic_inputs(read.graph, options.profiles), options, folder)


def compile_report(
    qdq_path: str | Path, options: CompileOptions = DEFAULTS, *, read: QdqModel | None = None
) -> CompiledReport:
    """Build an engine in a process of its own and tell how it computes each weighted op.

    `read` is the model of that file, where it was read before. MACs are those of the usual shapes.
    Raises OQ601 without TensorRT-RTX, OQ405 where an input's profile is missing or does not fit,
    and what `builder.build` raises.
    """
    read = QdqModel(models.load(qdq_path)) if read is None else read
    profiles = of_dynamic_inputs(read.graph, options.profiles)
    built = _built(read, Path(qdq_path), profiles, options)
    layers = read_layers(built["layers"])
    ops = _compiled_ops(read, layers, profiles)
    untested = _untested(options.compiler, built["version"])
    return CompiledReport(
        backend=options.compiler,
        version=built["version"],
        targets=options.targets,
        engine_bytes=built["engine_bytes"],
        conversions=conversions(read, layers) if layers.is_whole else None,
        ops=ops,
        notes=(
            *contradictions(read.graph, profiles).values(),
            *((untested,) if untested else ()),
            *_unexpected(ops),
        ),
    )


def read_layers(text: str) -> LayerList:
    """The layers of an engine: what the builder logged, or what the inspector says as JSON."""
    return parse_inspector(text) if text.lstrip().startswith("{") else parse_layers(text)


def engine_bytes(path: str | Path, options: CompileOptions = DEFAULTS) -> int:
    """The size of a model's engine; raises as `compile_report`."""
    read = QdqModel(models.load(path))
    profiles = of_dynamic_inputs(read.graph, options.profiles)
    return int(_built(read, Path(path), profiles, options)["engine_bytes"])


def _built(
    read: QdqModel, path: Path, profiles: Mapping[str, Profile], options: CompileOptions
) -> dict[str, Any]:
    """What the builder told of a model, now or when it was built before."""
    version = _version(options.compiler)
    name = build_cache.key(
        model=models.digest(path),
        compiler=[options.compiler, version],
        profiles=profiles,
        targets=options.targets,
    )
    built = build_cache.load(name) if options.cache else None
    if built is None:
        with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
            job = _job(read, path, profiles, options, Path(folder))
            try:
                built = builder.build(job, options.timeout, rtx=options.compiler == "tensorrt-rtx")
            except OnnxqError as failed:
                raise _of_version(failed, _untested(options.compiler, version)) from None
        if options.cache:
            build_cache.save(name, built)
    return built


def _job(
    read: QdqModel,
    path: Path,
    profiles: Mapping[str, Profile],
    options: CompileOptions,
    folder: Path,
) -> dict[str, Any]:
    file = _file(read, path, folder, contradictions(read.graph, profiles))
    return {"model": str(file), "profiles": profiles, "targets": options.targets}


def _file(read: QdqModel, path: Path, folder: Path, symbols: Mapping[str, object]) -> Path:
    """The model's file, or a copy with the node names of the report and no bad dimension names."""
    model = without_names(read.named, symbols) if symbols else read.named
    if model is read.proto:
        return path.absolute()
    copy = folder / "model.onnx"
    models.save(model, copy)
    return copy


def _of_version(failed: OnnxqError, untested: Diagnostic | None) -> OnnxqError:
    """What failed, with what is to be known of an untested version: older ones take less."""
    first = failed.diagnostics[0]
    if untested is None or first.code not in ("OQ602", "OQ660"):
        return failed
    return OnnxqError(replace(first, fix=f"{first.fix}; {untested.message}"))


def _untested(compiler: Compiler, version: str) -> Diagnostic | None:
    tested = TESTED[compiler]
    if any(version.startswith(f"{known}.") for known in tested):
        return None
    name = "TensorRT-RTX" if compiler == "tensorrt-rtx" else "TensorRT"
    if not tested:
        told = f"what {name} says of its layers was never tried with onnxq, {version} included"
        fix = "compare with --backend tensorrt-rtx before you rely on the compiled report"
        return warning("OQ663", told, fix=fix)
    told = f"{name} {version} is none of the versions that onnxq was tested with"
    fix = f"compare with {' or '.join(tested)} before you rely on the compiled report"
    return warning("OQ663", f"{told} ({', '.join(tested)})", fix=fix)


def _unexpected(ops: Sequence[CompiledOp]) -> tuple[Diagnostic, ...]:
    """Tell where the engine is another than lint expected: its rules are of other builds."""
    others = [op for op in ops if op.precision not in (op.expected, "unknown")]
    if not others:
        return ()
    first = others[0]
    told = f"{counted(len(others), 'op')} computed otherwise than lint expected, such as"
    return (
        Diagnostic(
            code="OQ640",
            message=f"{told} {first.op} '{first.node}': {first.precision}, not {first.expected}",
            fix="rely on the engine; it can differ by target and by version",
            severity=Severity.INFO,
        ),
    )


def _compiled_ops(
    read: QdqModel, layers: LayerList, profiles: Mapping[str, Profile]
) -> tuple[CompiledOp, ...]:
    nodes = [n for n in read.graph.nodes if is_product(n)]
    shapes = Shapes(read.named, {name: profile.opt for name, profile in profiles.items()})
    shapes.observe(t for n in nodes for t in (*n.inputs[:2], n.outputs[0]))
    return tuple(_compiled_op(read, shapes, layers, node) for node in nodes)


def _compiled_op(read: QdqModel, shapes: Shapes, layers: LayerList, node: Node) -> CompiledOp:
    found, told = layers.computed(node.name), predict_op(read, node)
    why = told.reason
    sure = not (why and found.precision == "int8" and any(x.is_attention for x in found.layers))
    precision = found.precision if sure else "unknown"
    return CompiledOp(
        node=node.name,
        op=node.op,
        precision=precision,
        expected=told.precision,
        dtype=found.dtype if sure else "",
        reason=_reason(precision, why, node, found, layers),
        macs=macs(shapes.sizes, node) if runs_once(read.graph, node) else None,
        layers=tuple(layer.name for layer in found.layers),
    )


def _reason(precision: Precision, why: str, node: Node, found: Computed, layers: LayerList) -> str:
    if precision == "int8":
        return ""
    if precision in _OTHERWISE:
        return _OTHERWISE[precision]
    if precision == "float":
        return why or "the compiler chose float"
    if layers.unreadable or not layers.layers:
        return "the compiler's list of layers could not be read"
    if not found.layers:
        return "no engine layer names it"
    if not layers.is_whole:
        return f"what the layer '{found.layers[0].name}' multiplies is not told"
    return f"it is part of the kernel '{found.layers[0].name}', which reads int8 too"
