"""A feed: the samples chosen from the data, in batches, numbered, read ahead."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from onnxq.diagnostics import Diagnostic
from onnxq.feeds.ahead import ahead
from onnxq.feeds.checks import Checks, Found, too_few
from onnxq.feeds.preprocess import Preprocess
from onnxq.feeds.samples import InputSpec, Sample
from onnxq.feeds.selection import Batching
from onnxq.feeds.source import EndOfDataError, LeftOutError, Reader, Source
from onnxq.model.graph import Shape


@dataclass(slots=True, kw_only=True)
class Feed:
    """Samples for `inputs`, read when iterated, ahead of the consumer; the same every time.

    `picked` are the numbers of the samples used, None for all there are. `preprocess` is None
    unless the data are pictures. `warnings` are what the last pass had to tell: `notes` on the
    data as such, files left out, batches that were not full, infinite values. `unreal` says what
    the data is when it is not real, for the statistics made from it. `filled` are the inputs whose
    sizes nobody gave.
    """

    source: Source
    inputs: tuple[InputSpec, ...]
    picked: Sequence[int] | None
    batch: Batching
    ragged: bool = False
    preprocess: Preprocess | None = None
    notes: tuple[Diagnostic, ...] = ()
    unreal: str = ""
    filled: Mapping[str, Shape] = field(default_factory=dict)
    start: int = 0
    step: int = 1
    warnings: list[Diagnostic] = field(default_factory=list)

    @property
    def length(self) -> int | None:
        """How many samples a pass gives, unless some cannot be read; None when only the end tells.

        For data whose own length is not known it is what --samples asks for.
        """
        total = self._total()
        return None if total is None else len(range(self.start, total, self.step))

    def part(self, start: int = 0, step: int = 1) -> Feed:
        """Samples number start, start + step, start + 2 * step ... of this feed.

        Samples keep their `number`, and a file that cannot be read keeps its own, so parts do not
        depend on what can be read. Files of other parts are not opened where each is one sample.
        """
        return replace(
            self, start=self.start + start * self.step, step=self.step * step, warnings=[]
        )

    def after(self, number: int) -> Feed:
        """Samples of this feed whose `number` is greater: what is left when that one was done.

        It shares the `warnings` of this feed, for it goes on with its pass.
        """
        rest = self.part(max(0, (number - self.start) // self.step + 1))
        return replace(rest, warnings=self.warnings)

    def __iter__(self) -> Iterator[Sample]:
        self.warnings[:] = self.notes
        checks = Checks(
            inputs=self.inputs,
            batch=self.batch,
            ragged=self.ragged,
            looked_at=self.preprocess is None,
        )
        reader = self.source.reader()
        jobs = (partial(_read, reader, number, of) for number, of in self._batches())
        ended = False
        for number, found in ahead(jobs, threads=self.source.threads):
            if checks.complete(found):
                yield replace(_stacked(found.samples), number=number)
            if ended := found.ended:
                break
        if (self.start, self.step) == (0, 1):
            if not checks.given:
                raise checks.nothing()
            if ended and self.picked is not None:
                self.warnings += too_few(checks.read, len(self.picked))
        self.warnings += checks.told()

    def _total(self) -> int | None:
        if self.picked is None:
            return None
        whole, rest = divmod(len(self.picked), self.batch.size)
        return whole + bool(rest and not self.batch.whole)

    def _batches(self) -> Iterator[tuple[int, Sequence[int]]]:
        """Number of each batch of this part, and the numbers of its samples in the source."""
        total, size = self._total(), self.batch.size
        if self.picked is None or total is None:
            for number in itertools.count(self.start, self.step):
                yield number, range(number * size, (number + 1) * size)
        else:
            for number in range(self.start, total, self.step):
                yield number, self.picked[number * size : (number + 1) * size]


def _read(reader: Reader, number: int, of: Sequence[int]) -> tuple[int, Found]:
    found = Found()
    for one in of:
        try:
            found.samples.append(reader(one))
        except LeftOutError as reason:
            found.left_out.append(str(reason))
        except EndOfDataError:
            found.ended = True
            break
    return number, found


def _stacked(samples: list[Sample]) -> Sample:
    if len(samples) == 1:
        return samples[0]
    digest = hashlib.sha256("".join(s.digest for s in samples).encode())
    arrays = {name: [s.tensors[name] for s in samples] for name in samples[0].tensors}
    return Sample(
        name=f"{samples[0].name} to {samples[-1].name}",
        tensors={name: np.concatenate(parts) for name, parts in arrays.items()},
        digest=digest.hexdigest(),
        count=len(samples),
        parts=tuple(s.digest for s in samples),
    )
