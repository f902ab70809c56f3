"""The main function of the programs that build and run engines in processes of their own."""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onnxq.kernels.layers import HEADER

Work = Callable[[Mapping[str, Any], Any, list[str]], dict[str, Any]]


def main(work: Work, job_path: str, result_path: str) -> int:
    """Do the job in a JSON file; write the result file and return 0 only on success.

    `work` gets the job, the module of TensorRT, and a list that receives the builder's lists of
    layers. Errors of TensorRT go to stderr. The process ends when its standard input is closed,
    because the process that started it has ended then.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from polygraphy import config
    from polygraphy.exception import PolygraphyException

    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    trt = importlib.import_module("tensorrt_rtx" if config.USE_TENSORRT_RTX else "tensorrt")
    messages: list[str] = []
    listen(trt, messages)
    try:
        result = work(job, trt, messages)
    except PolygraphyException:
        return 1  # the reason was logged
    Path(result_path).write_text(json.dumps(result), encoding="utf-8")
    return 0


def listen(trt: Any, messages: list[str]) -> None:
    """Let builders log errors to stderr, and add their lists of layers to `messages`."""
    from polygraphy.backend.trt import util as trt_util
    from polygraphy.logger import G_LOGGER

    G_LOGGER.module_severity = G_LOGGER.ERROR
    trt_util.TRT_LOGGER = _logger(trt, messages)


def logger() -> Any:
    """The logger that `listen` set."""
    from polygraphy.backend.trt import util as trt_util

    return trt_util.get_trt_logger()


def _end_with_parent() -> None:
    while os.read(0, 1):  # not through sys.stdin, whose lock would be held at the end
        pass
    os._exit(1)


def _logger(trt: Any, messages: list[str]) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if message.startswith(HEADER):
                messages.append(message)
            elif severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                print("[E]", message, file=sys.stderr, flush=True)

    return Logger()
