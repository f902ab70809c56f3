"""The command in a process of its own that has imported everything already: a tenth of the time.

`tests.command.onnxq` starts a whole new interpreter instead, as a user does.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

PRELOADED = [
    "onnxruntime", "polygraphy.backend.onnxrt", "numba", "pytest", "torch",
    "onnxq.cli.app", "onnxq.render", "onnxq.api.quantizing", "onnxq.api.caches",
    "onnxq.api.linting", "onnxq.api.explaining", "onnxq.api.improving", "onnxq.api.sensing",
    "onnxq.api.training", "onnxq.api.tuning", "onnxq.calibration._bitcount",
    "onnxq.verification", "rich.console", "rich.progress",
]  # fmt: skip
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)


def onnxq(*arguments, cwd, prepare=None, seconds=1800):
    """Run a command to its end. `prepare` is called in its process first.

    The time limit is against hangs alone: the command is killed then.
    """
    pipes = [_context.Pipe(duplex=False) for _ in range(2)]
    process = _context.Process(
        target=_run, args=([w for _, w in pipes], str(cwd), [*map(str, arguments)], prepare)
    )
    process.start()
    limit = threading.Timer(seconds, process.kill)
    limit.start()
    for _, writer in pipes:
        writer.close()
    with ThreadPoolExecutor(len(pipes)) as readers:  # a pipe that is full stops the command
        told = list(readers.map(_read, [reader for reader, _ in pipes]))
    process.join()
    limit.cancel()
    return subprocess.CompletedProcess(arguments, process.exitcode, *told)


def _read(reader):
    with os.fdopen(os.dup(reader.fileno()), encoding="utf-8") as stream:
        content = stream.read()
    reader.close()
    return content


def killed(*arguments, cwd, after):
    """Kill a command after some seconds, unless it has ended; True when it was killed."""
    process = _context.Process(target=_run_unheard, args=(str(cwd), [*map(str, arguments)]))
    process.start()
    process.join(after)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def _run_unheard(cwd, arguments):
    with open(os.devnull, "wb") as out, open(os.devnull, "wb") as err:
        _run([out, err], cwd, arguments, None)


def _run(writers, cwd, arguments, prepare):
    from onnxq.cli import main

    for number, writer in enumerate(writers, start=1):
        os.dup2(writer.fileno(), number)
        writer.close()
    os.chdir(cwd)
    sys.argv = ["onnxq", *arguments]
    if prepare is not None:
        prepare()
    main()
