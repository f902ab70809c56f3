"""What made a Q/DQ model, in its metadata: versions and digests, never a path or a user's name."""

from __future__ import annotations

from importlib.metadata import version

from onnxq.calibration.statistics import Statistics
from onnxq.planning.plan import Plan


def provenance(plan: Plan, statistics: Statistics) -> dict[str, str]:
    """Return what to record of a plan and of the statistics that its scales come from, if any.

    `plan` is a digest of what is decided, without the places of the rules that did; the same inputs
    give the same text wherever they lie. `edited` says that a saved plan was changed by hand.
    """
    made = {
        "version": version("onnxq"),
        "recipe": f"{plan.recipe} {plan.recipe_digest}",
        "plan": plan.digest,
        **({"edited": "by hand"} if plan.edited else {}),
    }
    if not statistics.tensors:  # of weights alone
        return made
    return {**made, "statistics": statistics.digest, "preprocess": statistics.preprocess}
