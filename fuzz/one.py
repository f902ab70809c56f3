"""Fuzz one target with libFuzzer, guided by the branches that Python code takes.

Usage: one.py TARGET SECONDS FOLDER. Inputs that reach new branches go to FOLDER/corpus, an input
that breaks the target to FOLDER.
"""

import logging
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["onnxq", "yaml"]):
    import targets


def main(name: str, seconds: str, folder: str) -> None:
    """Run libFuzzer until the time is over; it ends the process at the first finding."""
    logging.disable()
    target = targets.TARGETS[name]
    corpus = Path(folder, "corpus")
    corpus.mkdir(parents=True, exist_ok=True)
    targets.statistics(), targets.improvement()
    with tempfile.TemporaryDirectory(prefix="onnxq-fuzz-") as place:

        def once(content: bytes) -> None:
            targets.attempt(target, content, Path(place, "work"))

        options = [
            f"-max_len={target.longest}",
            f"-max_total_time={seconds}",
            "-timeout=120",
            "-rss_limit_mb=6000",
            "-print_final_stats=1",
            f"-artifact_prefix={folder}/",
        ]
        seeds = Path(__file__).with_name("corpus") / name
        atheris.Setup([sys.argv[0], *options, str(corpus), str(seeds)], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
