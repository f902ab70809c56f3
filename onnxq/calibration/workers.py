"""One calibration shared by many processes or machines through Ray, an optional dependency.

The statistics of the parts add exactly, so the result does not depend on which worker ran which
part, in which order or how often. Ray starts the processes, runs a part again when its worker dies,
and reaches the machines of a cluster; these need onnxq, and the model and the data under the same
paths.
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
from onnxq.feeds import DataRequest, Feed
from onnxq.feeds.checks import Findings
from onnxq.model.loading import Existing, load
from onnxq.planning.plan import Decision

_PARTS: Final = 4  # per worker: losing one costs little, and the load stays even
_TIMEOUT: Final = 10.0  # seconds to reach a cluster
_RETRIES: Final = 3  # of a part whose worker died


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
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartResult:
    """The result of a part: `statistics` is None if it failed, and `errors` says why.

    The statistics lack the diagnostics on the data: these come from the `findings` of all parts.
    """

    statistics: Statistics | None
    errors: tuple[Diagnostic, ...] = ()
    findings: Findings = field(default_factory=Findings)


def run(job: Job, index: int, count: int, threads: int | None = None) -> PartResult:
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
            decisions=job.decisions,
            settings=replace(job.settings, threads=threads),
        )
    except OnnxqError as reason:
        return PartResult(statistics=None, errors=reason.diagnostics)
    on_data = feed.warnings
    others = tuple(d for d in statistics.diagnostics if d not in on_data)
    return PartResult(statistics=replace(statistics, diagnostics=others), findings=feed.findings)


def require() -> None:
    """Raise BackendMissingError (OQ435) where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise BackendMissingError(
            Diagnostic(code="OQ435", message="Ray is not installed", fix="pip install 'onnxq[ray]'")
        )


def calibrate_with(
    workers: int,
    job: Job,
    feed: Feed,
    *,
    address: str | None = None,
    progress: Progress = lambda done, passes: None,
) -> Statistics:
    """Run a job on `workers` processes, here or on the Ray cluster at `address`.

    `feed` is the job's data as opened here; it is not read. Raises what a part raises, OQ435
    without Ray, OQ436 when the cluster cannot be reached or a part fails repeatedly.
    """
    count = min(_PARTS * workers, feed.length or _PARTS * workers)
    parts: list[PartResult] = []
    with _ray(workers, address) as ray:
        threads = max(1, min(_cores(ray) // workers, _cores_of_largest(ray)))
        task = ray.remote(num_cpus=threads, max_retries=_RETRIES)(run)
        waiting = [task.remote(job, index, count, threads) for index in range(count)]
        while waiting:
            (done,), waiting = ray.wait(waiting)
            part = _result(ray, done)
            if part.errors:
                raise OnnxqError(*part.errors)
            parts.append(part)
            progress(part.statistics.samples if part.statistics else 0, 1)
    whole = reduce(add, (part.statistics for part in parts if part.statistics))
    findings = reduce(add, (part.findings for part in parts))
    if not whole.samples:
        raise findings.nothing(feed.batch)
    diagnostics = dict.fromkeys((*feed.report(findings), *whole.diagnostics))
    return replace(whole, diagnostics=tuple(diagnostics))


def _cores(ray: Any) -> int:
    return int(ray.cluster_resources().get("CPU", 1))


def _cores_of_largest(ray: Any) -> int:
    """Cores of the largest machine: a part that asks for more would wait forever."""
    return max(int(n["Resources"].get("CPU", 1)) for n in ray.nodes() if n["Alive"])


def _result(ray: Any, reference: Any) -> PartResult:
    try:
        part: PartResult = ray.get(reference)
    except ray.exceptions.RayError as reason:
        raise error(
            "OQ436",
            f"a part of the calibration failed on its worker: {first_line(reason)}",
            fix="see Ray's logs; fewer workers need less memory",
        ) from reason
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
    except (Exception, SystemExit) as reason:  # Ray raises exceptions of many kinds
        raise _unreachable(address, first_line(reason)) from reason
    try:
        yield ray
    finally:
        ray.shutdown()


def _answers(address: str) -> bool:
    """Whether a port is open; Ray itself would try for two minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():
        return True  # such as 'auto', which Ray resolves
    try:
        socket.create_connection((host, int(port)), timeout=_TIMEOUT).close()
    except (OSError, ValueError):  # ValueError: an impossible host name
        return False
    return True


def _unreachable(address: str | None, why: str) -> OnnxqError:
    return error(
        "OQ436",
        f"Ray cannot be started{f' at {address}' if address else ''}: {why}",
        fix="check the address; 'ray status' shows a running cluster",
    )
