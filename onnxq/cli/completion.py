"""Words that a shell offers for options and arguments; nothing heavy is imported for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


def recipes(incomplete: str) -> list[str]:
    """Names of shipped recipes."""
    from onnxq import shipped

    return [name for name in shipped.recipes() if name.startswith(incomplete)]


def preprocessings(incomplete: str) -> list[str]:
    """Names of shipped preprocessings."""
    from onnxq import shipped

    return [name for name in shipped.preprocessings() if name.startswith(incomplete)]


def codes(incomplete: str) -> list[str]:
    """Codes of diagnostics, such as OQ203."""
    from onnxq.codes import CODES

    return [code for code in CODES if incomplete and code.startswith(incomplete)]


OFFERED: Final[dict[str, Callable[[str], list[str]]]] = {
    "--rules": recipes,
    "--diff": recipes,
    "--preprocess": preprocessings,
}
