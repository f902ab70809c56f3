"""Engine builds with TensorRT-RTX, which needs no GPU, or with TensorRT."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from onnxq.diagnostics import (
    BackendMissingError,
    Diagnostic,
    OnnxqError,
    warning,
)
from onnxq.files import whole_file
from onnxq.kernels.conversions import conversions
from onnxq.kernels.inspector import parse_inspector
from onnxq.kernels.layers import TESTED_VERSIONS, LayerList, parse_layers
from onnxq.linting import QdqModel
from onnxq.model import io as models
from onnxq.model.compiler_ops import without_importer
from onnxq.model.dimensions import with_ranks, without_names
from onnxq.sessions import Libraries
from onnxq.verification import build_cache, builder
from onnxq.verification.compiled import CompiledOp, CompiledReport, compiled_ops, unexpected
from onnxq.verification.gpu import gpu
from onnxq.verification.plugins import Built, part_without
from onnxq.verification.profiles import Profile, contradictions, of_dynamic_inputs
from onnxq.verification.targets import Target

Compiler = Literal["tensorrt-rtx", "tensorrt"]

TIMEOUT: Final = 600.0  # seconds
TESTED: Final[dict[Compiler, tuple[str, ...]]] = {"tensorrt-rtx": TESTED_VERSIONS, "tensorrt": ()}
INSTALL: Final = "pip install 'onnxq[rtx]'"
_PACKAGES: Final = ("tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx", "tensorrt_rtx")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """Options of a build.

    `profiles` give the shapes of inputs with dynamic dimensions, `targets` are compute capabilities
    such as (8, 9), none for the compiler's defaults; `timeout` is in seconds. With `cache` the
    result of an earlier build is used again. The `compiler` "tensorrt" needs a GPU, and lists less
    about its layers, so that more ops are 'unknown'. `plugins` are paths of libraries of plugins,
    `libraries` those of custom ops for onnxruntime, from which sizes are learnt.
    """

    compiler: Compiler = "tensorrt-rtx"
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    timeout: float = TIMEOUT
    cache: bool = True
    plugins: tuple[str, ...] = ()
    libraries: Libraries = ()


DEFAULTS: Final = CompileOptions()


def available() -> str | None:
    """Version of the installed TensorRT-RTX, found without an import; None if not installed."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        return None
    for package in _PACKAGES:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


def require() -> str:
    """Version of TensorRT-RTX; BackendMissingError (OQ601) if it is not installed."""
    version = available()
    if version is None:
        raise BackendMissingError(
            Diagnostic(code="OQ601", message="TensorRT-RTX is not installed", fix=INSTALL)
        )
    return version


def require_backend(name: str) -> None:
    """Raise BackendMissingError (OQ601) when the named compiler is not installed."""
    if name in ("tensorrt-rtx", "tensorrt"):
        _version(name)


def _version(compiler: str) -> str:
    return require() if compiler == "tensorrt-rtx" else _full_version()


def _full_version() -> str:
    """Version of TensorRT; OQ601 if TensorRT or a GPU is missing."""
    if importlib.util.find_spec("tensorrt") is None:
        message, fix = "TensorRT is not installed", "pip install 'onnxq[trt]'"
    elif not gpu():
        message, fix = "TensorRT needs a GPU, and there is none", "use --backend tensorrt-rtx"
    else:
        return importlib.metadata.version("tensorrt")
    raise BackendMissingError(Diagnostic(code="OQ601", message=message, fix=fix))


def job(
    path: str | Path, options: CompileOptions, folder: Path, without: Sequence[str] = ()
) -> dict[str, Any]:
    """The job for `builder.build`; a changed copy of the model, if needed, goes to `folder`.

    The model is cut in front of the ops `without`. Raises OQ405 when an input's profile is missing
    or does not fit, OQ607 when nothing is left.
    """
    model, file = QdqModel(models.load(path)), None if without else Path(path)
    if without:
        model = QdqModel(part_without(model.named, without).model)
    profiles = of_dynamic_inputs(model.graph, options.profiles)
    return _job(model, file, profiles, options, folder)


def compile_report(
    qdq_path: str | Path,
    options: CompileOptions = DEFAULTS,
    *,
    model: QdqModel | None = None,
    digest: str | None = None,
    engine: Path | None = None,
) -> CompiledReport:
    """Build an engine in a separate process and report how it computes each weighted op.

    `model` and `digest` are those of the file, if already known; `engine` is a file to write the
    engine to. MACs are for the usual (opt)
    shapes. Raises OQ601 without TensorRT-RTX, OQ405 when an input's profile is missing or does not
    fit, and the errors of `builder.build`. Without the plugin for an op, the model is compiled as
    far as it goes without the op (OQ607).
    """
    compiled = compile_model(qdq_path, options, model=model, digest=digest, engine=engine)
    built, layers = compiled.built, compiled.layers
    untested = _untested(options.compiler, built.result["version"])
    return CompiledReport(
        backend=options.compiler,
        version=built.result["version"],
        targets=options.targets,
        engine_bytes=built.result["engine_bytes"],
        engine_file="" if engine is None else str(engine),
        conversions=conversions(built.model, layers) if layers.is_whole else None,
        ops=compiled.ops,
        without=tuple(map(str, built.culprits)),
        notes=(
            *built.notes(),
            *compiled.contradictions,
            *((untested,) if untested else ()),
            *unexpected(compiled.ops),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compiled:
    """What the builder made of a model, its layers, and how these compute each product."""

    built: Built
    layers: LayerList
    ops: tuple[CompiledOp, ...]
    contradictions: tuple[Diagnostic, ...]


def compile_model(
    path: str | Path,
    options: CompileOptions = DEFAULTS,
    *,
    model: QdqModel | None = None,
    digest: str | None = None,
    engine: Path | None = None,
) -> Compiled:
    """Build the engine of a model, float or Q/DQ; arguments and errors are `compile_report`'s."""
    model = QdqModel(models.load(path)) if model is None else model
    profiles = of_dynamic_inputs(model.graph, options.profiles)
    built = _built(model, Path(path), profiles, options, digest, engine)
    layers = read_layers(built.result["layers"])
    ops = built.marked(compiled_ops(model, layers, profiles, options.libraries))
    notes = tuple(contradictions(model.graph, profiles).values())
    return Compiled(built=built, layers=layers, ops=ops, contradictions=notes)


def read_layers(text: str) -> LayerList:
    """Parse the layers of an engine, from the builder's log or from the inspector's JSON."""
    return parse_inspector(text) if text.lstrip().startswith("{") else parse_layers(text)


def engine_bytes(path: str | Path, options: CompileOptions = DEFAULTS) -> int:
    """The size of a model's engine in bytes; raises the errors of `compile_report`."""
    model = QdqModel(models.load(path))
    profiles = of_dynamic_inputs(model.graph, options.profiles)
    return int(_built(model, Path(path), profiles, options).result["engine_bytes"])


def _built(
    model: QdqModel,
    path: Path,
    profiles: Mapping[str, Profile],
    options: CompileOptions,
    digest: str | None = None,
    engine: Path | None = None,
) -> Built:
    """What is built of a model: all of it, or the part without ops that the compiler lacks."""
    digest = digest or models.digest(path)
    result = _result(model, path, profiles, options, digest, engine)
    if not (unknown := result.get("unknown")):
        return Built(result=result, model=model, compiler=options.compiler)
    part = part_without(model.named, unknown)
    rest = QdqModel(part.model)
    left = _result(rest, None, profiles, options, f"{digest} without {' '.join(unknown)}", engine)
    takes_plugins = bool(result["takes_plugins"])
    return Built(
        result=left, model=rest, compiler=options.compiler, part=part, takes_plugins=takes_plugins
    )


def _result(
    model: QdqModel,
    path: Path | None,
    profiles: Mapping[str, Profile],
    options: CompileOptions,
    digest: str,
    engine: Path | None = None,
) -> dict[str, Any]:
    """The builder's result for a model, from the cache or from a build, which can keep `engine`."""
    version = _version(options.compiler)
    name = build_cache.key(
        model=digest,
        compiler=[options.compiler, version],
        profiles=profiles,
        targets=options.targets,
        plugins=[hashlib.sha256(Path(p).read_bytes()).hexdigest() for p in options.plugins],
    )
    built = build_cache.load(name) if options.cache and engine is None else None
    if built is None:
        with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
            job = _job(model, path, profiles, options, Path(folder))
            if engine is not None:
                job["engine"] = str(Path(folder, "engine"))
            try:
                built = builder.build(job, options.timeout, rtx=options.compiler == "tensorrt-rtx")
            except OnnxqError as failed:
                raise _of_version(failed, _untested(options.compiler, version)) from None
            if engine is not None and not built.get("unknown"):
                with whole_file(engine) as part:
                    shutil.copyfile(job["engine"], part)
        if options.cache and not built["problems"]:  # a library may load another time
            build_cache.save(name, built)
    return built


def _job(
    model: QdqModel,
    path: Path | None,
    profiles: Mapping[str, Profile],
    options: CompileOptions,
    folder: Path,
) -> dict[str, Any]:
    file = _file(model, path, folder, profiles)
    return {
        "model": str(file),
        "profiles": profiles,
        "targets": options.targets,
        "plugins": options.plugins,
        "may_be_plugins": list(without_importer(model.proto)),
    }


def _file(
    model: QdqModel, path: Path | None, folder: Path, profiles: Mapping[str, Profile]
) -> Path:
    """The model's file, or a copy with the node names of the report and dimensions as they are.

    `path` is None for a part of a model, which has no file.
    """
    symbols = contradictions(model.graph, profiles)
    changed = without_names(model.named, symbols) if symbols else model.named
    changed = with_ranks(changed, {name: len(profile.opt) for name, profile in profiles.items()})
    if changed is model.proto and path is not None:
        return path.absolute()
    copy = folder / "model.onnx"
    models.save(changed, copy)
    return copy


def _of_version(failed: OnnxqError, untested: Diagnostic | None) -> OnnxqError:
    """The error, with the warning about an untested version, which may support less."""
    first = failed.diagnostics[0]
    if untested is None or first.code not in ("OQ602", "OQ660"):
        return failed
    return OnnxqError(replace(first, fix=f"{first.fix}; {untested.message}"))


def _untested(compiler: Compiler, version: str) -> Diagnostic | None:
    tested = TESTED[compiler]
    if any(version.startswith(f"{release}.") for release in tested):
        return None
    name = "TensorRT-RTX" if compiler == "tensorrt-rtx" else "TensorRT"
    if not tested:
        message = f"onnxq was never tested with the layer list of {name}, {version} included"
        fix = "compare with --backend tensorrt-rtx before you rely on the compiled report"
        return warning("OQ663", message, fix=fix)
    message = f"{name} {version} is not one of the versions that onnxq was tested with"
    fix = f"compare with {' or '.join(tested)} before you rely on the compiled report"
    return warning("OQ663", f"{message} ({', '.join(tested)})", fix=fix)
