"""Metadata of a Q/DQ model: versions, digests and edits, never a path or a user's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from onnxq.calibration.statistics import Statistics
from onnxq.planning.plan import Plan


def provenance(plan: Plan, statistics: Statistics) -> dict[str, str]:
    """Return the entries for a plan and for the statistics of its scales, if there are any.

    `plan` is a digest of the decisions without the places of their rules, so that equal inputs give
    equal text wherever they lie. `edited` says that a saved plan was changed by hand.
    """
    entries = {
        "version": version("onnxq"),
        "recipe": f"{plan.recipe} {plan.recipe_digest}",
        "plan": plan.digest,
        **({"edited": "by hand"} if plan.edited else {}),
    }
    if not statistics.tensors:  # of weights alone
        return entries
    return {**entries, "statistics": statistics.digest, "preprocess": statistics.preprocess}


def edited_scales(tensors: Sequence[str]) -> dict[str, str]:
    """Return the entry for scales that were replaced by hand; none without such tensors."""
    return {"scales": f"replaced by hand: {', '.join(tensors)}"} if tensors else {}


def recipe_name(made_by: Mapping[str, str]) -> str:
    """The name of the recipe that a model's metadata records, '' without one.

    The name may have spaces; the last space stands before the digest.
    """
    name, separator, digest = made_by.get("recipe", "").rpartition(" ")
    return name if separator else digest
