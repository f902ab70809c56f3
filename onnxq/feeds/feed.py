"""A feed: the samples chosen from the data, in batches, numbered, read ahead."""

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
class Done:
    """How far a pass came: the number of its last sample, what it found, and the digests of its
    samples, shortened to any length.
    """

    last: int
    found: Findings
    digests: Sequence[str]


@dataclass(slots=True, kw_only=True)
class Feed:
    """Samples for `inputs`, read when iterated, ahead of the consumer; the same every time.

    `picked` are the numbers of the samples used, None for all there are. `preprocess` is None
    unless the data are pictures. `found` is what the last pass, or the part of it that is over,
    found out; `notes` are on the data as such. `unreal` says what the data is when it is not real,
    for the statistics made from it. `filled` are the inputs whose sizes nobody gave. With `alike`,
    the samples behind the last one of a part are looked at too, so that all parts judge as the
    whole.
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
    found: Findings = field(default_factory=Findings)
    _begun: Iterator[Sample] | None = field(default=None, init=False, repr=False)

    @property
    def length(self) -> int | None:
        """How many samples a pass gives, unless some cannot be read; None when only the end tells.

        For data whose own length is not known it is what was asked for, or what the data expects.
        """
        totals = [n for n in (self._total(), self.source.expected) if n is not None]
        return len(range(self.start, min(totals), self.step)) if totals else None

    @property
    def warnings(self) -> list[Diagnostic]:
        """The diagnostics of the last pass."""
        return self.report(self.found)

    def report(self, findings: Findings) -> list[Diagnostic]:
        """The diagnostics of a pass, or of its parts together, with these findings."""
        asked = len(self.picked) if self.picked is not None and self._is_whole else None
        return [*self.notes, *findings.report(self.batch, asked)]

    def part(self, start: int = 0, step: int = 1) -> Feed:
        """Samples number start, start + step, start + 2 * step ... of this feed.

        Samples keep their `number`, and a file that cannot be read keeps its own, so parts do not
        depend on what can be read. Files of other parts are not opened where each is one sample.
        """
        return replace(
            self, start=self.start + start * self.step, step=self.step * step, found=Findings()
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

    def after(self, done: Done | None) -> Iterator[Sample]:
        """Go on with a pass: the samples behind those that are `done`.

        Error OQ431 when the data are not those of then.
        """
        begun, self._begun = self._begun, None
        return begun if begun is not None and done is None else self._pass(done)

    def _pass(self, done: Done | None) -> Iterator[Sample]:
        self.found = Findings() if done is None else done.found
        reader = self.source.reader()
        if done is not None:
            self._require_same(reader, done)
        batches = self._batches(self.start if done is None else done.last + self.step)
        jobs = (partial(_read, reader, number, of) for number, of in batches)
        for number, batch in ahead(jobs, threads=self.source.threads):
            given = self._given(batch, number)
            if given is not None:
                yield given
            if batch.ended:
                break
        if self._is_whole and not self.found.given:
            raise self.found.nothing(self.batch)
        if self.alike:
            for last in self._behind():
                with suppress(EndOfDataError):
                    reader(last)

    @property
    def _is_whole(self) -> bool:
        return (self.start, self.step) == (0, 1)

    def _behind(self) -> Sequence[int]:
        """The last sample that was asked for, when it is in another part."""
        last = (self._total() or 0) - 1
        mine = range(self.start, last + 1, self.step)
        return self.picked[-1:] if self.picked and last not in mine else ()

    def _given(self, batch: _Batch, number: int) -> Sample | None:
        """Add what a batch brings to `found`; the batch, if the model can be run on it (OQ425)."""
        read = len(batch.samples)
        given = read > 0 and not (self.batch.whole and read < self.batch.size)
        self.found += Findings(
            read=read,
            given=int(given),
            left_out=batch.left_out,
            unused=() if given else tuple(batch.samples),
            ended=batch.ended,
            animated={one: s.name for one, s in batch.samples.items() if s.frames > 1},
        )
        if not given:
            return None
        if self.preprocess is None:  # pictures have nothing of the kind
            for one, sample in batch.samples.items():
                if odd := infinite(sample, one):
                    self.found += Findings(infinite=odd)
        return replace(_stacked(list(batch.samples.values())), number=number)

    def _require_same(self, reader: Reader, done: Done) -> None:
        skipped = {*done.found.left_out, *done.found.unused}
        before = itertools.takewhile(lambda one: one[0] <= done.last, self._batches(self.start))
        numbers = (one for _, of in before for one in of if one not in skipped)
        left = Counter(done.digests)
        jobs = (partial(_identity, self.source, reader, one) for one in numbers)
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
    """What a batch turned out to be: its samples, why others are missing, whether data ended."""

    samples: dict[int, Sample] = field(default_factory=dict)
    left_out: dict[int, str] = field(default_factory=dict)
    ended: bool = False


def _read(reader: Reader, number: int, of: Sequence[int]) -> tuple[int, _Batch]:
    found = _Batch()
    for one in of:
        try:
            found.samples[one] = reader(one)
        except LeftOutError as reason:
            found.left_out[one] = str(reason)
        except EndOfDataError:
            found.ended = True
            break
    return number, found


def _identity(source: SampleSource, reader: Reader, number: int) -> tuple[str, str]:
    """The name and the digest of a sample; an empty digest where there is none any more."""
    try:
        return source.identity(number, reader)
    except LeftOutError as reason:
        return reason.file, ""
    except EndOfDataError:
        return f"sample {number + 1}", ""


def _changed(name: str) -> OnnxqError:
    return error(
        "OQ431",
        f"'{name}' is not what it was when the checkpoint was written",
        fix="restore it, or remove the checkpoint and begin anew",
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
