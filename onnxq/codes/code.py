"""What there is to say of a code."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A kind of diagnostic: what it means, YAML or a command that causes it, and what to do."""

    meaning: str
    example: str
    fix: str
