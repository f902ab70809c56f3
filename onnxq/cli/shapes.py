"""What --shape says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from onnxq.diagnostics import OnnxqError, error

if TYPE_CHECKING:
    from onnxq.verification.profiles import Profile


def fixed(given: Iterable[str] | None) -> dict[str, tuple[int, ...]]:
    """Read --shape options: 'x:1x3x640x640' gives {'x': (1, 3, 640, 640)} (OQ405)."""
    found = {}
    for text in given or ():
        name, _, sizes = text.rpartition(":")
        try:
            found[name] = tuple(int(s) for s in sizes.lower().split("x"))
        except ValueError:
            found[name] = ()
        if not name or not found[name] or not 0 < min(found[name]) <= max(found[name]) < 2**31:
            raise _unreadable(text, "cannot be read", "name the input, as in images:1x3x640x640")
    return found


def profiles(given: Iterable[str] | None) -> dict[str, Profile]:
    """Read --shape options for the compiler: 'x:1x8/1x64/4x64' is the shapes min, opt and max."""
    from onnxq.verification import profiles

    found = {}
    for text in given or ():
        name, _, sizes = text.rpartition(":")
        each = [fixed([f"{name}:{part}"])[name] for part in sizes.split("/")]
        found[name] = profiles.Profile(*each) if len(each) == 3 else profiles.fixed(each[0])
        if len(each) not in (1, 3) or not found[name].is_ordered:
            raise _unreadable(
                text,
                "is no range of shapes",
                "write the least, usual and largest one: x:1x3x320x320/1x3x640x640/4x3x640x640",
            )
    return found


def usual(profiles: dict[str, Profile]) -> dict[str, tuple[int, ...]]:
    """The shapes to run the model with."""
    return {name: profile.opt for name, profile in profiles.items()}


def _unreadable(text: str, why: str, fix: str) -> OnnxqError:
    return error("OQ405", f"--shape '{text}' {why}", fix=fix)
