"""One calibration shared out to many processes or machines by Ray, an optional dependency.

The statistics of the parts add exactly, so who ran what, in which order and how often does not
show in the result. Ray starts the processes, runs a part again when its worker dies, and reaches
the machines of a cluster; those need onnxq, and the model and the data under the same paths.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import Any, Final

from onnxq.calibration.calibrate import Progress, Settings, calibrate
from onnxq.calibration.statistics import Statistics
from onnxq.cores import cores
from onnxq.diagnostics import BackendMissingError, Diagnostic, OnnxqError, error, first_line
from onnxq.feeds import DataRequest
from onnxq.feeds.checks import Findings
from onnxq.model.loading import Existing, load

_PARTS: Final = 4  # a worker: so little is lost with one, and none waits long for another
_PATIENCE: Final = 10.0  # seconds to reach a cluster
_TRIES: Final = 3  # again, for a part whose worker died


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A calibration as plain data, from which any process can run a part.

    `model` is an absolute path; `existing` says what happens to its pairs.
    """

    model: str
    existing: Existing = "refuse"
    data: DataRequest
    tensors: tuple[str, ...]
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What came of a part: its statistics, or the errors; and what was found out about the data."""

    statistics: Statistics | None
    errors: tuple[Diagnostic, ...] = ()
    found: Findings = field(default_factory=Findings)


def run(job: Job, index: int, count: int, threads: int | None = None) -> Part:
    """Calibrate on every count-th sample, from sample `index` on."""
    try:
        model = load(job.model, existing=job.existing, shapes=job.data.shapes)
        feed = job.data.open(model.graph).part(index, count)
        statistics = calibrate(
            model.proto,
            model.graph,
            feed,
            tensors=job.tensors,
            model_path=model.path,
            settings=replace(job.settings, threads=threads),
        )
    except OnnxqError as reason:
        return Part(statistics=None, errors=reason.diagnostics)
    return Part(statistics=statistics, found=feed.found)


def require() -> None:
    """Raise BackendMissingError (OQ435) where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise BackendMissingError(
            Diagnostic(code="OQ435", message="Ray is not installed", fix="pip install 'onnxq[ray]'")
        )


def calibrate_with(
    workers: int,
    job: Job,
    *,
    address: str | None = None,
    samples: int | None = None,
    progress: Progress = lambda done, passes: None,
) -> tuple[Statistics, Findings]:
    """Run a job on so many workers, here or on the Ray cluster at `address`.

    Returns the statistics, and what was found out about the data. `samples` is how many there
    are, if that is known. Raises what a part raises, OQ435 without Ray, OQ436 when the cluster
    cannot be reached or a part fails again and again.
    """
    count = min(_PARTS * workers, samples or _PARTS * workers)
    parts: list[Part] = []
    with _ray(workers, address) as ray:
        threads = max(1, int(ray.cluster_resources().get("CPU", 1)) // workers)
        task = ray.remote(num_cpus=threads, max_retries=_TRIES)(run)
        waiting = [task.remote(job, index, count, threads) for index in range(count)]
        while waiting:
            (done,), waiting = ray.wait(waiting)
            part = _result(ray, done)
            if part.errors:
                raise OnnxqError(*part.errors)
            parts.append(part)
            progress(part.statistics.samples if part.statistics else 0, 1)
    whole = reduce(add, (part.statistics for part in parts if part.statistics))
    if not whole.samples:
        raise error("OQ401", "the data holds no sample", fix="check what --data names")
    return whole, reduce(add, (part.found for part in parts))


def _result(ray: Any, reference: Any) -> Part:
    try:
        part: Part = ray.get(reference)
    except ray.exceptions.RayError as reason:
        raise error(
            "OQ436",
            f"a part of the calibration failed on its worker: {first_line(reason)}",
            fix="see Ray's logs; fewer workers need less memory",
        ) from None
    return part


@contextmanager
def _ray(workers: int, address: str | None) -> Iterator[Any]:
    """Join the cluster at an address, or start one here for as long as it is needed."""
    require()
    if address and not _answers(address):
        raise _unreachable(address, "nothing answers there")
    ray: Any = importlib.import_module("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(
            address=address or "local",
            num_cpus=None if address else max(workers, cores()),
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (Exception, SystemExit) as reason:  # what Ray raises depends on what is wrong
        raise _unreachable(address, first_line(reason)) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _answers(address: str) -> bool:
    """Whether a port is open; Ray itself would try for two minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():
        return True  # such as 'auto', which Ray looks up
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except (OSError, ValueError):  # ValueError: no name that a host can have
        return False
    return True


def _unreachable(address: str | None, why: str) -> OnnxqError:
    return error(
        "OQ436",
        f"Ray cannot be started{f' at {address}' if address else ''}: {why}",
        fix="check the address; 'ray status' shows a running cluster",
    )
