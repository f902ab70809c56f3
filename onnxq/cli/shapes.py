"""What --shape says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from onnxq.diagnostics import OnnxqError, error

if TYPE_CHECKING:
    from onnxq import Profile

Sizes = tuple[int, ...]


def fixed(texts: Iterable[str] | None) -> dict[str, Sizes]:
    """Parse --shape options: 'x:1x3x640x640' gives {'x': (1, 3, 640, 640)} (OQ405)."""
    shapes: dict[str, Sizes] = {}
    for text in texts or ():
        name, _, sizes = text.rpartition(":")
        _require_new(name, shapes)
        shapes[name] = _sizes(text, name, sizes)
    return shapes


def profiles(texts: Iterable[str] | None) -> dict[str, Profile]:
    """Parse --shape options for the compiler: 'x:1x8/1x64/4x64' is the shapes min, opt and max."""
    from onnxq import Profile

    shapes: dict[str, Profile] = {}
    for text in texts or ():
        name, _, sizes = text.rpartition(":")
        _require_new(name, shapes)
        parts = [_sizes(text, name, part) for part in sizes.split("/")]
        shapes[name] = Profile(*parts) if len(parts) == 3 else Profile(*parts[:1] * 3)
        if len(parts) not in (1, 3) or not shapes[name].is_ordered:
            raise _refused(
                text,
                "is not a range of shapes",
                "write the least, usual and largest one: x:1x3x320x320/1x3x640x640/4x3x640x640",
            )
    return shapes


def _sizes(text: str, name: str, sizes: str) -> Sizes:
    example = "images:1x3x640x640"
    if not name:
        raise _refused(text, "names no input", f"name it, as in {example}")
    for size in sizes.lower().split("x"):
        if not (size.isdecimal() and size.isascii()):
            why = f"has '{size}' where a size belongs"
            raise _refused(text, why, f"write whole numbers with an x between, as in {example}")
        if int(size) >= 2**31:
            why = f"has '{size}', which is too large for a size"
            raise _refused(text, why, f"write whole numbers with an x between, as in {example}")
    return tuple(int(size) for size in sizes.lower().split("x"))


def _require_new(name: str, shapes: Iterable[str]) -> None:
    """Refuse a second shape of one input: only one of them could hold (OQ405)."""
    if name in shapes:
        message = f"--shape gives the input '{name}' two shapes"
        fix = "give one; a range is x:1x3x320x320/1x3x640x640/4x3x640x640"
        raise error("OQ405", message, fix=fix)


def _refused(text: str, why: str, fix: str) -> OnnxqError:
    return error("OQ405", f"--shape '{text}' {why}", fix=fix)
