"""Fuzz every target, or those named, and add up what was done: python fuzz/run.py --seconds 60."""

import argparse
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from targets import TARGETS

HERE = Path(__file__).parent
TALLY = HERE / "tally.json"


def fuzzed(name: str, seconds: int) -> dict[str, object]:
    """Fuzz one target in a process of its own; its figures, and the path of a finding or ''.

    The seconds are those of a core, not of the clock.
    """
    folder = HERE.parent / "build" / "fuzz" / name
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    command = [sys.executable, str(HERE / "one.py"), name, str(seconds), str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        used = os.wait4(process.pid, 0)[2]
    words = (folder / "log").read_text(errors="replace")
    executions = re.findall(
        r"stat::number_of_executed_units: +(\d+)|^#(\d+)\s", words, re.MULTILINE
    )
    findings = sorted(p.name for p in set(folder.iterdir()) - before if re.match(FINDING, p.name))
    return {
        "seconds": round(used.ru_utime + used.ru_stime),
        "executions": max((int(a or b) for a, b in executions), default=0),
        "corpus": sum(1 for _ in (folder / "corpus").iterdir()),
        "finding": str(folder / findings[0]) if findings else "",
    }


FINDING = r"(crash|timeout|oom|leak)-"


def main() -> int:
    """Fuzz, print a line a target, and add the figures to the tally."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="targets at a time")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    if unknown := set(names) - TARGETS.keys():
        parser.error(
            f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}"
        )
    broken = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda name: (name, fuzzed(name, options.seconds)), names)
        for name, result in results:
            tally = json.loads(TALLY.read_text()) if TALLY.exists() else {}
            total = tally.setdefault(name, {"seconds": 0, "executions": 0, "corpus": 0})
            total["seconds"] += result["seconds"]
            total["executions"] += result["executions"]
            total["corpus"] = max(total["corpus"], result["corpus"])
            TALLY.write_text(json.dumps(tally, indent=1, sort_keys=True) + "\n")
            broken += bool(result["finding"])
            print(
                f"{name:12} {result['executions']:9,} executions in {result['seconds']:,} s, "
                f"{result['corpus']:,} in the corpus"
                + (f"; BROKEN by {result['finding']}" if result["finding"] else ""),
                flush=True,
            )
    return min(1, broken)


if __name__ == "__main__":
    sys.exit(main())
