"""A finding of lint: a diagnostic with its node and its effect in TensorRT."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from onnxq.diagnostics import Diagnostic, Severity


class Effect(StrEnum):
    """What happens in TensorRT to a model with the finding."""

    REJECTED = "rejected"  # there is no engine
    CRASHES = "crashes"  # the builder dies
    FLOAT = "float"  # an op silently runs in float
    INVALID = "invalid"  # the file breaks the rules of ONNX; other runtimes refuse it
    DIFFERENT = "different"  # the engine silently computes other values than the file says
    COST = "cost"  # it costs speed, accuracy or readable reports
    NOTE = "note"  # nothing is wrong

    @property
    def severity(self) -> Severity:
        """The severity of a finding with this effect."""
        if self is Effect.COST:
            return Severity.WARNING
        return Severity.INFO if self is Effect.NOTE else Severity.ERROR

    @property
    def stops_build(self) -> bool:
        """True when TensorRT builds no engine."""
        return self in (Effect.REJECTED, Effect.CRASHES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Diagnostic):
    """One finding of lint. `node` is '' for a finding about the whole model."""

    effect: Effect
    node: str = ""


def finding(code: str, effect: Effect, message: str, *, fix: str, node: str = "") -> Finding:
    """Build a finding, with the severity of its effect."""
    return Finding(
        code=code, message=message, fix=fix, severity=effect.severity, effect=effect, node=node
    )
