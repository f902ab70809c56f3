"""What made a Q/DQ model, in its metadata: versions and digests, never a path or a user's name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

import onnx

from onnxq import plan_file
from onnxq.plan import Plan
from onnxq.statistics import Statistics

METADATA: Final = "onnxq."  # prefix of the metadata keys that onnxq writes


def provenance(plan: Plan, statistics: Statistics) -> dict[str, str]:
    """Return what to record of a plan and of the statistics that its scales come from.

    `plan` is a digest of what is decided, without the places of the rules that did; the same inputs
    give the same text wherever they lie.
    """
    return {
        "version": version("onnxq"),
        "recipe": f"{plan.recipe} {plan.recipe_digest}",
        "plan": plan_digest(plan),
        "statistics": statistics.digest,
        "preprocess": statistics.preprocess,
    }


def plan_digest(plan: Plan) -> str:
    """SHA-256 (hex) of what a plan decides, whichever rules did."""
    decided = "\n".join("  ".join(line.decided()) for line in plan_file.lines(plan))
    return hashlib.sha256(decided.encode()).hexdigest()


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """What onnxq wrote into a model's metadata, without the prefix of its keys."""
    entries = {p.key: p.value for p in model.metadata_props}
    return {k.removeprefix(METADATA): v for k, v in entries.items() if k.startswith(METADATA)}


def record(model: onnx.ModelProto, entries: Mapping[str, str]) -> None:
    """Write entries into a model's metadata, in place of those that onnxq wrote before."""
    kept = [p for p in model.metadata_props if not p.key.startswith(METADATA)]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    for key, value in entries.items():
        model.metadata_props.add(key=METADATA + key, value=value)
