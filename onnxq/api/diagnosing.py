"""doctor: what is installed on this machine, what is missing, and what for."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import platformdirs

from onnxq.cores import cores
from onnxq.diagnostics import Diagnostic
from onnxq.shown import Shown

State = Literal["there", "missing", "needed"]  # "needed": the basic job does not work without it

_NEEDED: Final = ("onnx", "numpy", "numba", "polygraphy", "pillow")
_RUNTIMES: Final = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-qnn")
# Module, packages that may hold it, what it is for, and the extra of onnxq that installs it.
_OPTIONAL: Final = (
    ("tensorrt_rtx", "tensorrt-rtx-cu13 tensorrt-rtx-cu12 tensorrt-rtx", "compiles", "rtx"),
    ("tensorrt", "tensorrt", "compiles and runs on a GPU", "trt"),
    ("torch", "torch", "improve, sensitivity, train", "torch"),
    ("ray", "ray", "calibrate --workers", "ray"),
    ("jinja2", "jinja2", "pages (--html)", "html"),
    ("vl_convert", "vl-convert-python", "charts of pages", "html"),
    ("fast_sugiyama", "fast-sugiyama", "networks of pages", "html"),
)
_QUERY: Final = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
_SECONDS: Final = 10  # a driver that hangs is as good as none


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked for: its version or size, and what is missing without it."""

    name: str
    state: State
    value: str = ""
    fix: str = ""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Doctor(Shown):
    """What is there and what is missing; `passed` is False where the basic job cannot work."""

    checks: tuple[Check, ...]
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def passed(self) -> bool:
        """True when models can be calibrated, quantized and compared here."""
        return all(check.state != "needed" for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """The checks in their order, and whether all that is needed is there."""
        return {"passed": self.passed, "checks": [asdict(check) for check in self.checks]}


def doctor() -> Doctor:
    """Look for backends, versions, a GPU, memory, cores and writable folders.

    Imports onnxruntime alone, for its execution providers, and runs `nvidia-smi` where there is
    one. Raises nothing: what is missing is a check with a fix.
    """
    return Doctor(
        checks=(
            Check(name="onnxq", state="there", value=importlib.metadata.version("onnxq")),
            Check(name="python", state="there", value=platform.python_version()),
            *map(_needed, _NEEDED),
            *_providers(),
            *_optional(),
            _gpu(),
            Check(name="cores", state="there", value=str(cores())),
            *_memory(),
            _temporary_folder(),
            _folder(
                "cache folder", platformdirs.user_cache_path("onnxq"), "XDG_CACHE_HOME", "missing"
            ),
        )
    )


def _needed(package: str) -> Check:
    version = _version(package)
    if version is None:
        return Check(name=package, state="needed", fix="pip install --force-reinstall onnxq")
    return Check(name=package, state="there", value=version)


def _version(*packages: str) -> str | None:
    for package in packages:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _providers() -> Iterator[Check]:
    try:
        import onnxruntime
    except ImportError as reason:  # installed and broken, such as for another Python
        fix = "pip install --force-reinstall onnxruntime"
        yield Check(name="onnxruntime", state="needed", value=str(reason), fix=fix)
        return
    yield Check(
        name="onnxruntime", state="there", value=_version(*_RUNTIMES) or "of unknown version"
    )
    names = (name.removesuffix("ExecutionProvider") for name in _available(onnxruntime))
    yield Check(name="execution providers", state="there", value=", ".join(names))


def _available(onnxruntime: Any) -> list[str]:
    providers: list[str] = onnxruntime.get_available_providers()
    return providers


def _optional() -> Iterator[Check]:
    for module, packages, purpose, extra in _OPTIONAL:
        if importlib.util.find_spec(module) is None:
            fix = f"pip install 'onnxq[{extra}]'"
            yield Check(name=module, state="missing", value=f"for: {purpose}", fix=fix)
        else:
            version = _version(*packages.split()) or "of unknown version"
            yield Check(name=module, state="there", value=version)


def _gpu() -> Check:
    program = shutil.which("nvidia-smi")
    try:
        command = [program or "nvidia-smi", *_QUERY]
        printed = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        printed = ""
    gpus = "; ".join(filter(None, map(str.strip, printed.splitlines())))
    if not gpus:
        return Check(
            name="GPU", state="missing", value="for running engines", fix="not needed otherwise"
        )
    return Check(name="GPU", state="there", value=gpus)


def _memory() -> Iterator[Check]:
    names = ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES", "SC_PAGE_SIZE")
    if set(names) <= getattr(os, "sysconf_names", {}).keys():  # not on Windows
        total, free, page = (os.sysconf(name) for name in names)
        value = f"{total * page / 1e9:.1f} GB, {free * page / 1e9:.1f} GB of it free"
        yield Check(name="memory", state="there", value=value)


def _temporary_folder() -> Check:
    """The folder that Python uses; where TMPDIR cannot be used, that is another one."""
    name, wanted = "temporary folder", os.environ.get("TMPDIR")
    try:
        folder = Path(tempfile.gettempdir())
    except OSError as reason:  # none can be written to
        fix = "name one that can be written to in TMPDIR"
        return Check(name=name, state="needed", value=str(reason), fix=fix)
    if wanted and not os.access(wanted, os.W_OK | os.X_OK):
        value = f"TMPDIR {wanted} cannot be written to, {folder} is used"
        return Check(name=name, state="missing", value=value, fix="name another in TMPDIR")
    return _folder(name, folder, "TMPDIR", "needed")


def _folder(name: str, folder: Path, variable: str, otherwise: State) -> Check:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as reason:
        why = f"{folder}: {(reason.strerror or str(reason)).lower()}"
        return Check(name=name, state=otherwise, value=why, fix=f"name another in {variable}")
    return Check(name=name, state="there", value=f"{folder}, {free / 1e9:.1f} GB free")
