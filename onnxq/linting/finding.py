"""What lint finds: a diagnostic with the node it is about and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from onnxq.diagnostics import Diagnostic, Severity


class Effect(StrEnum):
    """What TensorRT makes of a model with the finding."""

    REJECTED = "rejected"  # there is no engine
    CRASHES = "crashes"  # the builder dies
    FLOAT = "float"  # an op runs in float, without a word
    INVALID = "invalid"  # the file breaks the rules of ONNX; other runtimes refuse it
    DIFFERENT = "different"  # the engine computes other values than the file says, without a word
    COST = "cost"  # of speed, of accuracy, or of being able to tell
    NOTE = "note"  # nothing is wrong

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        if self is Effect.COST:
            return Severity.WARNING
        return Severity.INFO if self is Effect.NOTE else Severity.ERROR

    @property
    def stops_build(self) -> bool:
        """True when there will be no engine."""
        return self in (Effect.REJECTED, Effect.CRASHES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Diagnostic):
    """One finding of lint. `node` is '' when it is about the whole model."""

    effect: Effect
    node: str = ""


def finding(code: str, effect: Effect, message: str, *, fix: str, node: str = "") -> Finding:
    """Build a finding; its effect tells how severe it is."""
    return Finding(
        code=code, message=message, fix=fix, severity=effect.severity, effect=effect, node=node
    )
