"""Entries of onnxq in a model's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import onnx

PREFIX: Final = "onnxq."  # of the keys of onnxq


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """The entries of onnxq in a model's metadata, without the prefix of their keys."""
    entries = {p.key: p.value for p in model.metadata_props}
    return {k.removeprefix(PREFIX): v for k, v in entries.items() if k.startswith(PREFIX)}


def record(model: onnx.ModelProto, entries: Mapping[str, str]) -> None:
    """Write entries into a model's metadata; they replace all earlier entries of onnxq."""
    kept = [p for p in model.metadata_props if not p.key.startswith(PREFIX)]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    for key, value in entries.items():
        model.metadata_props.add(key=PREFIX + key, value=value)
