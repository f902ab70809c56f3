"""What made a Q/DQ model, in its metadata: versions and digests, never a path or a user's name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from onnxq.calibration.statistics import Statistics
from onnxq.planning import plan_file
from onnxq.planning.plan import Plan


def provenance(plan: Plan, statistics: Statistics) -> dict[str, str]:
    """Return what to record of a plan and of the statistics that its scales come from, if any.

    `plan` is a digest of what is decided, without the places of the rules that did; the same inputs
    give the same text wherever they lie. `edited` says that a saved plan was changed by hand.
    """
    made = {
        "version": version("onnxq"),
        "recipe": f"{plan.recipe} {plan.recipe_digest}",
        "plan": plan_digest(plan),
        **({"edited": "by hand"} if plan.edited else {}),
    }
    if not statistics.tensors:  # of weights alone
        return made
    return {**made, "statistics": statistics.digest, "preprocess": statistics.preprocess}


def recipe_name(made_by: Mapping[str, str]) -> str:
    """The name of the recipe that a model's metadata records, '' without one.

    The name may have spaces; the last space stands before the digest.
    """
    name, separator, digest = made_by.get("recipe", "").rpartition(" ")
    return name if separator else digest


def plan_digest(plan: Plan) -> str:
    """SHA-256 (hex) of what a plan decides, whichever rules did."""
    return plan_file.digest(plan_file.lines(plan))
