"""A feed: samples chosen from the data, in batches, numbered, read ahead."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from onnxq.diagnostics import Diagnostic, OnnxqError, error
from onnxq.feeds.ahead import ahead
from onnxq.feeds.checks import Findings, infinite
from onnxq.feeds.preprocess import Preprocess
from onnxq.feeds.samples import InputSpec, Sample
from onnxq.feeds.selection import Batching
from onnxq.feeds.source import EndOfDataError, LeftOutError, Reader, SampleSource
from onnxq.model.graph import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class PassPosition:
    """Where a pass stands: the number of its last sample, its findings, and the digests of its
    samples, shortened to any length.
    """

    last: int
    findings: Findings
    digests: Sequence[str]


@dataclass(slots=True, kw_only=True)
class Feed:
    """Samples for `inputs`, read when iterated, ahead of the consumer; the same every time.

    `picked` are the numbers of the samples used, None for all there are. `preprocess` is None
    unless the data are pictures. `findings` are those of the last pass, or of its part that is
    over; `notes` are diagnostics from opening the data. `unreal` describes data that is not real,
    for the statistics made from it. `filled` are the inputs whose sizes were not given. With
    `alike`, a part also reads the samples behind its last one, so that every part refuses the
    shapes that the whole would refuse.
    """

    source: SampleSource
    inputs: tuple[InputSpec, ...]
    picked: Sequence[int] | None
    batch: Batching
    alike: bool = False
    preprocess: Preprocess | None = None
    notes: tuple[Diagnostic, ...] = ()
    unreal: str = ""
    filled: Mapping[str, Shape] = field(default_factory=dict)
    start: int = 0
    step: int = 1
    findings: Findings = field(default_factory=Findings)
    _begun: Iterator[Sample] | None = field(default=None, init=False, repr=False)

    @property
    def length(self) -> int | None:
        """How many samples a pass gives, if all can be read; None when only its end shows that.

        Where the length of the data is not known, it is the number asked for or expected.
        """
        totals = [n for n in (self._total(), self.source.expected) if n is not None]
        return len(range(self.start, min(totals), self.step)) if totals else None

    @property
    def warnings(self) -> list[Diagnostic]:
        """The diagnostics of the last pass."""
        return self.report(self.findings)

    def report(self, findings: Findings) -> list[Diagnostic]:
        """The diagnostics of a pass, or of its parts together, with these findings."""
        asked = len(self.picked) if self.picked is not None and self._is_whole else None
        return [*self.notes, *findings.report(self.batch, asked)]

    def part(self, start: int = 0, step: int = 1) -> Feed:
        """Samples number start, start + step, start + 2 * step ... of this feed.

        Samples keep their `number`, and so do files that cannot be read: parts do not depend on
        which files can be read. Files of other parts are not opened if each is one sample.
        """
        return replace(
            self, start=self.start + start * self.step, step=self.step * step, findings=Findings()
        )

    def __iter__(self) -> Iterator[Sample]:
        return self.after(None)

    def first(self) -> Sample | None:
        """Return the first sample, None when there is none.

        The next pass begins with it: it is not read again, which iterators do not permit.
        """
        samples = self.after(None)
        sample = next(samples, None)
        self._begun = itertools.chain(() if sample is None else (sample,), samples)
        return sample

    def after(self, done: PassPosition | None) -> Iterator[Sample]:
        """Continue a pass behind the samples that are `done`, or begin one.

        Error OQ431 when the data has changed since then.
        """
        begun, self._begun = self._begun, None
        return begun if begun is not None and done is None else self._pass(done)

    def _pass(self, done: PassPosition | None) -> Iterator[Sample]:
        self.findings = Findings() if done is None else done.findings
        reader = self.source.reader()
        if done is not None:
            self._require_same(reader, done)
        batches = self._batches(self.start if done is None else done.last + self.step)
        jobs = (partial(_read, reader, number, members) for number, members in batches)
        for number, batch in ahead(jobs, threads=self.source.threads):
            stacked = self._take(batch, number)
            if stacked is not None:
                yield stacked
            if batch.ended:
                break
        if self._is_whole and not self.findings.given:
            raise self.findings.nothing(self.batch)
        if self.alike:
            for last in self._behind():
                with suppress(EndOfDataError):  # its part reports that
                    reader(last)

    @property
    def _is_whole(self) -> bool:
        return (self.start, self.step) == (0, 1)

    def _behind(self) -> Sequence[int]:
        """The last sample that was asked for, when it is in another part."""
        last = (self._total() or 0) - 1
        mine = range(self.start, last + 1, self.step)
        return self.picked[-1:] if self.picked and last not in mine else ()

    def _take(self, batch: _Batch, number: int) -> Sample | None:
        """Add to `findings`; return the batch as a sample if the model can run on it (OQ425)."""
        size = len(batch.samples)
        can_run = size > 0 and not (self.batch.whole and size < self.batch.size)
        self.findings += Findings(
            read=size,
            given=int(can_run),
            left_out=batch.left_out,
            unused=() if can_run else tuple(batch.samples),
            ended=batch.ended,
            animated={n: sample.name for n, sample in batch.samples.items() if sample.frames > 1},
        )
        if not can_run:
            return None
        if self.preprocess is None:  # pixels are finite
            for member, sample in batch.samples.items():
                if by_input := infinite(sample, member):
                    self.findings += Findings(infinite=by_input)
        return replace(_stacked(list(batch.samples.values())), number=number)

    def _require_same(self, reader: Reader, done: PassPosition) -> None:
        skipped = {*done.findings.left_out, *done.findings.unused}
        before = itertools.takewhile(lambda batch: batch[0] <= done.last, self._batches(self.start))
        numbers = (n for _, members in before for n in members if n not in skipped)
        left = Counter(done.digests)
        jobs = (partial(_identity, self.source, reader, number) for number in numbers)
        for name, digest in ahead(jobs, threads=self.source.threads):
            short = digest[: len(done.digests[0])]
            if not left[short]:
                raise _changed(name)
            left[short] -= 1

    def _total(self) -> int | None:
        if self.picked is None:
            return None
        whole, rest = divmod(len(self.picked), self.batch.size)
        return whole + bool(rest and not self.batch.whole)

    def _batches(self, begin: int) -> Iterator[tuple[int, Sequence[int]]]:
        """Number of each batch of this part, and the numbers of its samples in the source."""
        total, size = self._total(), self.batch.size
        if self.picked is None or total is None:
            for number in itertools.count(begin, self.step):
                yield number, range(number * size, (number + 1) * size)
        else:
            for number in range(begin, total, self.step):
                yield number, self.picked[number * size : (number + 1) * size]


@dataclass(slots=True)
class _Batch:
    """The samples of a batch, why others are missing, and whether the data ended in it."""

    samples: dict[int, Sample] = field(default_factory=dict)
    left_out: dict[int, str] = field(default_factory=dict)
    ended: bool = False


def _read(reader: Reader, number: int, members: Sequence[int]) -> tuple[int, _Batch]:
    batch = _Batch()
    for member in members:
        try:
            batch.samples[member] = reader(member)
        except LeftOutError as reason:
            batch.left_out[member] = str(reason)
        except EndOfDataError:
            batch.ended = True
            break
    return number, batch


def _identity(source: SampleSource, reader: Reader, number: int) -> tuple[str, str]:
    """The name and the digest of a sample; the digest is empty if the sample is gone."""
    try:
        return source.identity(number, reader)
    except LeftOutError as reason:
        return reason.file, ""
    except EndOfDataError:
        return f"sample {number + 1}", ""


def _changed(name: str) -> OnnxqError:
    return error(
        "OQ431",
        f"'{name}' has changed since the checkpoint was written",
        fix="restore it, or remove the checkpoint and begin again",
    )


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
