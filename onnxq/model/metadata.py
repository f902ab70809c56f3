"""What onnxq records in a model's metadata, and reads there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import onnx

PREFIX: Final = "onnxq."  # of the keys that onnxq writes


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """What onnxq wrote into a model's metadata, without the prefix of its keys."""
    entries = {p.key: p.value for p in model.metadata_props}
    return {k.removeprefix(PREFIX): v for k, v in entries.items() if k.startswith(PREFIX)}


def record(model: onnx.ModelProto, entries: Mapping[str, str]) -> None:
    """Write entries into a model's metadata, in place of those that onnxq wrote before."""
    kept = [p for p in model.metadata_props if not p.key.startswith(PREFIX)]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    for key, value in entries.items():
        model.metadata_props.add(key=PREFIX + key, value=value)
