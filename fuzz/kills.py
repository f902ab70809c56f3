"""Kill every verb that writes at random moments, and see that each file is whole or not there.

python fuzz/kills.py --kills 200 writes its figures into fuzz/kills.json.
"""

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

import onnxq

sys.path.append(str(Path(__file__).parents[1]))
import targets

from tests.cli.forked import killed
from tests.cli.forked import onnxq as run

TALLY = Path(__file__).with_name("kills.json")
DATA = ("--data", "data.npy")
VERBS: dict[str, tuple[str, ...]] = {
    "calibrate": ("model.onnx", *DATA, "-o", "new.npz", "--checkpoint", "run.ckpt"),
    "plan": ("model.onnx", "-o", "new.plan", "--html", "new.html"),
    "insert": ("model.onnx", "--calibration", "model.calib.npz", "-o", "new.onnx"),
    "quantize": ("model.onnx", *DATA, "-o", "new.onnx", "--backend", "onnxruntime"),
    "improve": ("model.onnx", *DATA, "-o", "new.npz", "--checkpoint", "run.ckpt"),
    "sensitivity": ("model.onnx", *DATA, "--html", "new.html"),
    "tune": ("model.onnx", *DATA, "--min-sqnr", "20", "-o", "new.yaml"),
    "verify": (
        "model.onnx", "model.qdq.onnx", *DATA, "--backend", "onnxruntime", "--html", "new.html",
    ),
    "train": ("model.qdq.onnx", "--teacher", "model.onnx", *DATA, "-o", "new.onnx"),
    "lint": ("model.qdq.onnx", "--fix", "-o", "new.onnx"),
    "strip": ("model.qdq.onnx", "-o", "new.onnx"),
    "calib merge": ("model.calib.npz", "more/model.calib.npz", "-o", "new.npz"),
    "cache export": ("model.calib.npz", "--rules", "rules.yaml", "-o", "new.cache"),
    "cache import": ("calib.cache", "--model", "model.onnx", "-o", "new.npz"),
}  # fmt: skip


def statistics_or_improvement(path: Path) -> object:
    """Read a file of arrays with its checksum."""
    try:
        return onnxq.Statistics.load(path)
    except onnxq.OnnxqError:
        return onnxq.Improvement.load(path)


def whole_page(path: Path) -> None:
    """A page that ends as pages do."""
    assert path.read_text().rstrip().endswith("</html>")


WHOLE: dict[str, Callable[[Path], object]] = {
    ".npz": statistics_or_improvement,
    ".html": whole_page,
    ".onnx": lambda path: onnx.checker.check_model(str(path), full_check=True),
    ".yaml": onnxq.load_recipe,
    ".plan": lambda path: onnxq.load_plan(path, path.with_name("model.onnx")),
    ".cache": lambda path: onnxq.import_cache(path, path.with_name("model.onnx")),
}


def prepare(folder: Path) -> None:
    """The inputs of all verbs."""
    onnx.save(targets.model().proto, folder / "model.onnx")
    samples = np.random.default_rng(2).normal(size=(64, 3, 8, 8)).astype(np.float32)
    np.save(folder / "data.npy", samples)
    np.save(folder / "more.npy", samples[:4] / 2)
    (folder / "more").mkdir()
    (folder / "rules.yaml").write_text(targets.RULES)
    for command in (
        ("calibrate", "model.onnx", *DATA),
        ("calibrate", "model.onnx", "--data", "more.npy", "-o", "more/model.calib.npz"),
        ("insert", "model.onnx", "--calibration", "model.calib.npz"),
        ("cache", "export", "model.calib.npz", "--rules", "rules.yaml", "-o", "calib.cache"),
    ):
        done = run(*command, cwd=folder)
        assert done.returncode == 0, done.stderr


def digests(folder: Path) -> dict[str, str]:
    """What is in a folder."""
    files = (path for path in folder.iterdir() if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def killed_at(inputs: Path, verb: str, moment: float, *, older: bool) -> tuple[bool, list[str]]:
    """Kill a verb after some seconds; whether it was still at work, and what is wrong then."""
    with tempfile.TemporaryDirectory(prefix="onnxq-kills-") as place:
        folder = Path(place, "work")
        shutil.copytree(inputs, folder)
        command = (*verb.split(), *VERBS[verb])
        if older:
            run(*command, cwd=folder)
        before = digests(folder)
        was_killed = killed(*command, cwd=folder, after=moment)
        wrong = []
        for name, digest in digests(folder).items():
            if name.endswith((".part", ".lock")) or before.get(name) == digest:
                continue
            if name.endswith(".ckpt"):
                if run(*command, "--resume", cwd=folder).returncode:
                    wrong.append(f"{verb} after {moment:.3f} s: {name} cannot be resumed from")
                continue
            try:
                assert not (inputs / name).exists(), "an input was changed"
                WHOLE[Path(name).suffix](folder / name)
            except Exception as reason:  # whatever a part of a file does to its reader
                wrong.append(f"{verb} after {moment:.3f} s: {name}: {reason!r}")
        if older:
            wrong += [f"{verb}: {n} is gone" for n in before if n not in digests(folder)]
        return was_killed, wrong


def main() -> int:
    """Kill, print a line a verb, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments, table, broken = random.Random(options.seed), {}, []
    with tempfile.TemporaryDirectory(prefix="onnxq-kills-") as place:
        inputs = Path(place, "inputs")
        inputs.mkdir()
        prepare(inputs)
        for verb in VERBS:
            scratch = Path(place, verb.replace(" ", "-"))
            shutil.copytree(inputs, scratch)
            begin = time.perf_counter()
            done = run(*verb.split(), *VERBS[verb], cwd=scratch)
            seconds = time.perf_counter() - begin
            assert done.returncode in (0, 1), (verb, done.stderr)
            kills, tries = 0, 0
            while kills < -(-options.kills // len(VERBS)) and tries < 3 * options.kills:
                tries += 1
                at = moments.uniform(0, seconds)
                was_killed, wrong = killed_at(inputs, verb, at, older=bool(tries % 2))
                kills += was_killed
                broken += wrong
            table[verb] = kills
            print(f"{verb:14} {seconds:5.2f} s, killed {kills} times", flush=True)
    TALLY.write_text(json.dumps(table, indent=1) + "\n")
    print(f"{sum(table.values())} kills, {len(broken)} files in part")
    print(*broken, sep="\n")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
