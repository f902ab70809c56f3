"""Compute capabilities that an engine is built for, such as sm89."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from onnxq.diagnostics import OnnxqError, error

Target = tuple[int, int]

_TARGET: Final = re.compile(r"(?:sm_?)?(\d+)\.?(\d)", re.IGNORECASE)
_MEMBER: Final = re.compile(r"SM(\d+)(\d)")


def parse(texts: Iterable[str]) -> tuple[Target, ...]:
    """Read 'sm89', '8.9' or several with commas between; OQ664 for an unsupported target."""
    words = [word.strip() for text in texts for word in text.split(",")]
    return require([_target(word) for word in words])


def require(targets: Sequence[Target]) -> tuple[Target, ...]:
    """The targets, each once, if the installed TensorRT-RTX can build for all of them (OQ664)."""
    missing = [t for t in targets if t not in supported()]
    if missing:
        raise _unknown(name(missing[0]))
    return tuple(dict.fromkeys(targets))


def supported() -> tuple[Target, ...]:
    """The compute capabilities that the installed TensorRT-RTX can build for."""
    import tensorrt_rtx as trt

    members = (_MEMBER.fullmatch(member) for member in trt.ComputeCapability.__members__)
    return tuple((int(m[1]), int(m[2])) for m in members if m)


def name(target: Target) -> str:
    """A target as it is written: 'sm89'."""
    return f"sm{target[0]}{target[1]}"


def _target(word: str) -> Target:
    match = _TARGET.fullmatch(word)
    if match is None:
        raise _unknown(word)
    return int(match[1]), int(match[2])


def _unknown(word: str) -> OnnxqError:
    return error(
        "OQ664",
        f"TensorRT-RTX cannot build for the target '{word}'",
        fix=f"use some of {', '.join(name(t) for t in supported())}",
    )
