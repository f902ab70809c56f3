"""How often insert and verify parse a model, and their time against another checkout.

    python benchmarks/bench_parse.py [--against /path/to/other/checkout]

The model is the YOLOX of demo/prepare.py. sys.setprofile counts parses and graphs in runs
of their own. Timed runs of the two checkouts alternate, each in a process of its own; engines come
from the build cache. Limits: `onnxq --help` takes 0.3 s of processor time at most, `import onnxq`
0.05 s more than the bare interpreter.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5
CALIBRATE = (
    "calibrate",
    "yolox.onnx",
    "--data",
    "calibration/",
    "--preprocess",
    "yolox",
    "--quiet",
)
COMMANDS = {
    "onnxq insert": ("insert", "--rules", "yolo", "--quiet"),
    "onnxq verify --html": (
        "verify", "yolox.onnx", "yolox.qdq.onnx", "--data", "evaluation/", "--html", "report.html",
        "--quiet",
    ),
}  # fmt: skip
RUN = "from onnxq.cli import main; main()"
COUNT = """
import atexit, json, sys, threading
from collections import Counter

counts = Counter()

def callers(frame):
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back

def profile(frame, event, argument):
    if event == "call":
        if frame.f_code.co_qualname == "Graph.__init__" and "onnxq" in frame.f_code.co_filename:
            counts["Graph"] += 1
    elif event == "c_call" and argument.__name__ == "ParseFromString":
        if type(argument.__self__).__name__ == "ModelProto":
            codes = [c for c in callers(frame) if "/onnxq/" in c.co_filename]
            place = codes[0].co_filename.rpartition("/onnxq/")[2] if codes else "elsewhere"
            counts[place] += 1

atexit.register(lambda: open("counts.json", "w").write(json.dumps(counts)))
threading.setprofile(profile)
sys.setprofile(profile)
"""


def measured(checkout, code, *arguments, cwd):
    """Wall and processor seconds of Python code that runs with the packages of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "XDG_CACHE_HOME": str(cwd / "cache")}
    command = [sys.executable, "-c", code, *arguments]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"onnxq {' '.join(arguments)} failed with the packages of {checkout}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def prepare(checkout, folder):
    """Calibrate the YOLOX of the demo in a folder."""
    subprocess.run([sys.executable, ROOT / "demo" / "prepare.py", folder], check=True)
    measured(checkout, RUN, *CALIBRATE, cwd=folder)


def report_counts(checkout, folder):
    """Print the counts; leaves the outputs of the commands and a warm build cache."""
    print(checkout)
    for name, arguments in COMMANDS.items():
        measured(checkout, COUNT + RUN, *arguments, cwd=folder)
        counts = json.loads((folder / "counts.json").read_text())
        graphs = counts.pop("Graph")
        places = ", ".join(f"{count} in {place}" for place, count in sorted(counts.items()))
        print(f"  {name:20} {graphs} graphs, {sum(counts.values())} parses: {places}")


def report_seconds(folders):
    """Print medians of alternating runs, and the ratio of this checkout to the other."""
    for name, arguments in COMMANDS.items():
        seconds = {checkout: [] for checkout in folders}
        for _ in range(ROUNDS):
            for checkout, folder in folders.items():
                seconds[checkout].append(measured(checkout, RUN, *arguments, cwd=folder))
        for kind, which in (("wall", 0), ("processor", 1)):
            medians = [median(run[which] for run in runs) for runs in seconds.values()]
            ratio = f", ratio {medians[0] / medians[-1]:.2f}" if len(medians) > 1 else ""
            print(f"{name:20} {kind:9} {' and '.join(f'{m:.2f}' for m in medians)} s{ratio}")


def report_start(folder):
    """Print the processor time of the start."""
    programs = {"bare": ("pass",), "import": ("import onnxq",), "help": (RUN, "--help")}
    runs = [{n: measured(ROOT, *p, cwd=folder)[1] for n, p in programs.items()} for _ in range(9)]
    seconds = {name: median(run[name] for run in runs) for name in programs}
    print(f"onnxq --help         processor {seconds['help']:.2f} s")
    print(
        f"import onnxq         processor {seconds['import'] - seconds['bare']:.3f} s over the bare"
    )


def main():
    """Print counts and seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", type=Path, help="another checkout of onnxq")
    other = parser.parse_args().against
    checkouts = [ROOT, *([other.resolve()] if other else [])]
    with tempfile.TemporaryDirectory() as parent:
        folders = {c: Path(parent) / str(number) for number, c in enumerate(checkouts)}
        report_start(Path(parent))
        for checkout, folder in folders.items():
            prepare(checkout, folder)
            report_counts(checkout, folder)
        report_seconds(folders)


if __name__ == "__main__":
    main()
