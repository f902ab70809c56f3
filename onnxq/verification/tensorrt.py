"""Engines, built on a machine without a GPU: by which compiler, of which version, and how."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from onnxq.diagnostics import (
    BackendMissingError,
    Diagnostic,
    OnnxqError,
    warning,
)
from onnxq.linting import QdqModel
from onnxq.model import io as models
from onnxq.model.dimensions import without_names
from onnxq.verification import build_cache, builder
from onnxq.verification.compiled import CompiledReport, compiled_ops, unexpected
from onnxq.verification.conversions import conversions
from onnxq.verification.gpu import gpu
from onnxq.verification.inspector import parse_inspector
from onnxq.verification.layers import TESTED_VERSIONS, LayerList, parse_layers
from onnxq.verification.profiles import Profile, contradictions, of_dynamic_inputs
from onnxq.verification.targets import Target

Compiler = Literal["tensorrt-rtx", "tensorrt"]

TIMEOUT: Final = 600.0  # seconds
TESTED: Final[dict[Compiler, tuple[str, ...]]] = {"tensorrt-rtx": TESTED_VERSIONS, "tensorrt": ()}
INSTALL: Final = "pip install 'onnxq[rtx]'"
_PACKAGES: Final = ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx", "tensorrt_rtx")


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
    qdq_path: str | Path,
    options: CompileOptions = DEFAULTS,
    *,
    model: QdqModel | None = None,
    digest: str | None = None,
) -> CompiledReport:
    """Build an engine in a process of its own and tell how it computes each weighted op.

    `model` and `digest` are those of the file, where they are known. MACs are those of the usual
    shapes. Raises OQ601 without TensorRT-RTX, OQ405 where an input's profile is missing or does not
    fit, and what `builder.build` raises.
    """
    model = QdqModel(models.load(qdq_path)) if model is None else model
    profiles = of_dynamic_inputs(model.graph, options.profiles)
    built = _built(model, Path(qdq_path), profiles, options, digest)
    layers = read_layers(built["layers"])
    ops = compiled_ops(model, layers, profiles)
    untested = _untested(options.compiler, built["version"])
    return CompiledReport(
        backend=options.compiler,
        version=built["version"],
        targets=options.targets,
        engine_bytes=built["engine_bytes"],
        conversions=conversions(model, layers) if layers.is_whole else None,
        ops=ops,
        notes=(
            *contradictions(model.graph, profiles).values(),
            *((untested,) if untested else ()),
            *unexpected(ops),
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
    read: QdqModel,
    path: Path,
    profiles: Mapping[str, Profile],
    options: CompileOptions,
    digest: str | None = None,
) -> dict[str, Any]:
    """What the builder told of a model, now or when it was built before."""
    version = _version(options.compiler)
    name = build_cache.key(
        model=digest or models.digest(path),
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
