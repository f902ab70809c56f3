"""The samples of an improvement: three of four to fit on, the fourth to judge on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from onnxq.diagnostics import Diagnostic, counted, error, warning
from onnxq.feeds import Feed
from onnxq.feeds.samples import Sample, Tensors

LEAST: Final = 4
ADVISED: Final = 32
_EVERY: Final = 4
_MEMORY: Final = 1 << 30  # bytes that the samples may take: improvers read them many times


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Samples in memory. Every fourth is for `validation`: no improver looks at it.

    `digests` are those of all of them, in the order of the data. `diagnostics` say what is odd.
    """

    fitting: tuple[Tensors, ...]
    validation: tuple[Tensors, ...]
    digests: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """Samples in memory; `is_cut` says that others did not fit."""

    samples: tuple[Sample, ...]
    is_cut: bool

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What is left out."""
        return _left_out(len(self.samples)) if self.is_cut else ()


def held(feed: Feed) -> Held:
    """Read the samples of a feed as far as they fit into 1 GiB, but at least 32 of them."""
    samples: list[Sample] = []
    size = 0
    for sample in feed:
        size += sum(array.nbytes for array in sample.tensors.values())
        if size > _MEMORY and len(samples) >= ADVISED:
            return Held(samples=tuple(samples), is_cut=True)
        samples.append(sample)
    return Held(samples=tuple(samples), is_cut=False)


def split(feed: Feed) -> Split:
    """Read the samples of a feed as far as they fit into 1 GiB.

    Raises OQ471 for less than four of them, and what reading the data raises.
    """
    whole = held(feed)
    samples = whole.samples
    if len(samples) < LEAST:
        raise error(
            "OQ471",
            f"the data has {counted(len(samples), 'sample')}: some are to fit on, and others to "
            "judge whether that helped",
            fix=f"give at least {LEAST} of them, or better {ADVISED}, each a run of its own",
        )
    validation = samples[_EVERY - 1 :: _EVERY]
    fitting = [s for number, s in enumerate(samples, start=1) if number % _EVERY]
    return Split(
        fitting=tuple(s.tensors for s in fitting),
        validation=tuple(s.tensors for s in validation),
        digests=tuple(s.digest for s in samples),
        diagnostics=whole.diagnostics or _few(len(samples)),
    )


def _left_out(count: int) -> tuple[Diagnostic, ...]:
    return (
        warning(
            "OQ472",
            f"the first {count} samples take 1 GiB; the others are left out",
            fix="choose fewer with --samples, which spreads them over the data",
        ),
    )


def _few(count: int) -> tuple[Diagnostic, ...]:
    if count >= ADVISED:
        return ()
    return (
        warning(
            "OQ472",
            f"{count} samples are few: what is fitted on them may not hold for others",
            fix=f"give {ADVISED} or more",
        ),
    )
