"""How long work reports that it goes on: one event for each step, to a function of the caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step of a stage: `done` of `total` samples; `total` is None when the end is not known.

    `stage` is "calibrating", "comparing", "compiling", "linting", "training", an improver's name,
    or, of sensitivity, "gradients" or "measuring". `note` is a sentence about the stage, such as
    how pictures are preprocessed; "" in most events. An `urgent` note is about what was lost or
    kept, and should be shown in any case.
    """

    stage: str
    done: int = 0
    total: int | None = None
    note: str = ""
    urgent: bool = False

    def __str__(self) -> str:
        if self.note:
            return self.note
        of = "" if self.total is None else f" of {self.total}"
        return f"{self.stage}: {self.done}{of}"


OnProgress = Callable[[Progress], Any]


def silent(event: Progress) -> None:
    """Ignore the event: what functions do without `progress`."""


def each_note_once(report: OnProgress) -> OnProgress:
    """Report events, but a note that was reported before, as by the stage before, only once."""
    notes: set[str] = set()

    def once(event: Progress) -> None:
        if not event.note or event.note not in notes:
            notes.add(event.note)
            report(event)

    return once
