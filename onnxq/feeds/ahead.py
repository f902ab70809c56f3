"""Jobs run ahead in threads: a bounded number, in order, and no longer than their consumer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from onnxq.cores import cores

T = TypeVar("T")
_MOST: Final = 8  # further threads would only wait for the disk or for inference


def decoders() -> int:
    """How many threads decode files: one per core that this process may use, 8 at most."""
    return min(cores(), _MOST)


def ahead(jobs: Iterable[Callable[[], T]], *, threads: int) -> Iterator[T]:
    """Yield the jobs' results in order; at most `threads` + 1 of them run or wait to be taken.

    An exception of a job is raised in its turn. When the consumer stops, jobs that have not begun
    are dropped and the threads are joined.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="onnxq-data") as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(job))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for job_result in waiting:
                job_result.cancel()
