"""The ways to INT8 that the accuracy benchmark compares, and the environments of the tools.

Each is a script in benchmarks/peers/ that takes a model, samples (.npz, by input, one row a sample)
and the path of the quantized model; whatever options follow are its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from dataclasses import dataclass
from pathlib import Path

from records import Cost
from subjects import Subject

PEERS = Path(__file__).parent / "peers"
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Way:
    """A row of the tables; {recipe} in an option stands for the recipe of the model's kind.

    `requirements` are what pip installs into the environment of that name; none for onnxq.
    """

    title: str
    script: str
    options: tuple[str, ...] = ()
    environment: str = ""
    requirements: tuple[str, ...] = ()

    def arguments(self, subject: Subject) -> list[str]:
        """The options for one model."""
        return [option.format(recipe=subject.recipe) for option in self.options]


MODELOPT = {
    "script": "modelopt_int8.py",
    "environment": "modelopt",
    "requirements": ("nvidia-modelopt[onnx]==0.47.0",),
}
WAYS = {
    "onnxq": Way(title="onnxq, default recipe", script="onnxq_int8.py"),
    "onnxq-kind": Way(
        title="onnxq, recipe of the kind", script="onnxq_int8.py", options=("--rules", "{recipe}")
    ),
    "onnxq-improve": Way(title="onnxq --improve", script="onnxq_int8.py", options=("--improve",)),
    "onnxq-improve-fast": Way(
        title="onnxq --improve, without learn",
        script="onnxq_int8.py",
        options=("--improve", "--without", "learn"),
    ),
    "nncf": Way(
        title="NNCF",
        script="nncf_int8.py",
        options=("{recipe}",),
        environment="nncf",
        requirements=("nncf==3.4.0", "onnx", "onnxruntime", "numpy"),
    ),
    "modelopt-entropy": Way(title="ModelOpt, entropy", options=("entropy",), **MODELOPT),
    "modelopt-max": Way(title="ModelOpt, max", options=("max",), **MODELOPT),
    "onnxruntime": Way(
        title="onnxruntime, MinMax",
        script="onnxruntime_int8.py",
        environment="onnxruntime",
        requirements=("onnxruntime==1.32.0", "onnx", "sympy"),
    ),
    "aimet": Way(
        title="AIMET, tf_enhanced, its own placement",
        script="aimet_int8.py",
        environment="aimet",
        requirements=("aimet-onnx==2.42.0",),
    ),
    "esp-ppq": Way(
        title="esp-ppq",
        script="esp_ppq_int8.py",
        environment="esp-ppq",
        requirements=("esp-ppq==1.3.0", "torch==2.13.0"),
    ),
}


class ToolError(Exception):
    """A tool that cannot be installed, or fails on a model: its own last line."""


def python(way: Way, folder: Path) -> Path:
    """The Python to run a way with; its environment is made if there is none (ToolError)."""
    if not way.environment:
        return Path(sys.executable)
    place = folder / way.environment
    command, made = place / "bin" / "python", place / "requirements.txt"
    wanted = "\n".join(way.requirements)
    if not (made.exists() and made.read_text() == wanted):
        venv.create(place, with_pip=True, clear=True)
        _run([command, "-m", "pip", "install", "--quiet", *way.requirements], _environment(way))
        made.write_text(wanted)
    return command


def versions(way: Way, folder: Path) -> dict[str, str]:
    """The tool, and what computes for it: packages and versions; onnxq with its commit."""
    packages = [r.partition("=")[0].partition("[")[0] for r in way.requirements] or ["onnxruntime"]
    names = dict.fromkeys((*packages, "onnxruntime", "torch"))
    code = (
        "import importlib.metadata as m, json, sys\n"
        "v = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({n: v[n] for n in sys.argv[1:] if n in v}))"
    )
    found: dict[str, str] = json.loads(_run([python(way, folder), "-c", code, *names]))
    found = {name: found[name] for name in names if name in found}
    return found if way.environment else {"onnxq": commit(), **found}


def commit() -> str:
    """onnxq's commit, with '+' where its code differs from it."""
    short = _run(["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"]).strip()
    changed = _run(["git", "-C", ROOT, "status", "--porcelain", "--", "onnxq", "rules"]).strip()
    return short + "+" * bool(changed)


def quantized(
    command: Path, way: Way, subject: Subject, folder: Path, name: str, number: int
) -> Cost:
    """Let the tool write {folder}/{name}.onnx from model.onnx and the set's samples."""
    files = [folder / "model.onnx", folder / f"set{number}.npz", folder / f"{name}.onnx"]
    files[2].unlink(missing_ok=True)
    script = [command, "-P", PEERS / way.script, *files, *way.arguments(subject)]
    log = folder / "log.txt"
    start = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen(
            list(map(str, script)), stdout=stream, stderr=stream, cwd=folder, env=_environment(way)
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode or not files[2].exists():
        raise ToolError(_last_line(log.read_text("utf-8", "replace"), process.returncode))
    return Cost(
        wall_s=round(seconds, 1),
        cpu_s=round(usage.ru_utime + usage.ru_stime, 1),
        peak_mib=round(usage.ru_maxrss / 1024),
    )


def _environment(way: Way) -> dict[str, str]:
    """What a process inherits: onnxq is this one, and the tools see none of its packages."""
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if not way.environment:
        inherited["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return inherited


def _run(command: list[object], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    if done.returncode:
        raise ToolError(_last_line(done.stderr or done.stdout, done.returncode))
    return done.stdout


def _last_line(text: str, code: int) -> str:
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line]
    line = (errors or lines or [""])[-1]
    return f"exit code {code}: {line[:200]}" if line else f"exit code {code}"
