"""Words that a shell offers for options and arguments; nothing heavy is imported for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import typer


def recipes(incomplete: str) -> list[str]:
    """Names of shipped recipes."""
    from onnxq import shipped

    return [name for name in shipped.recipes() if name.startswith(incomplete)]


def preprocessings(incomplete: str) -> list[str]:
    """Names of shipped preprocessings."""
    from onnxq import shipped

    return [name for name in shipped.preprocessings() if name.startswith(incomplete)]


def recipes_and_preprocessings(incomplete: str) -> list[str]:
    """Names of both, each once."""
    return sorted({*recipes(incomplete), *preprocessings(incomplete)})


def gpus(incomplete: str) -> list[str]:
    """Names of GPUs whose peaks are known."""
    from onnxq.cost import gpu

    return [name for name in gpu.shipped() if name.startswith(incomplete)]


def improvers(incomplete: str) -> list[str]:
    """Names of improvers."""
    from onnxq.planning.improvers import IMPROVER_NAMES

    return [name for name in IMPROVER_NAMES if name.startswith(incomplete)]


def names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of nodes, tensors and rules of the model that the line names."""
    import onnxq

    # Behind an option without its value the words stand in `args` alone.
    named = (ctx.params.get("subject"), ctx.params.get("model"), *ctx.args)
    try:
        plan = onnxq.plan(next(filter(None, named), ""), ctx.params["rules"])
    except onnxq.OnnxqError:
        return []
    known = (name for line in plan.lines for name in (line.node, line.tensor, line.rule))
    return [name for name in dict.fromkeys(known) if name.startswith(incomplete)]


def codes(incomplete: str) -> list[str]:
    """Codes of diagnostics, such as OQ203, in the letters that were typed."""
    from onnxq.codes import CODES

    known = map(str.lower, CODES) if incomplete.islower() else CODES
    return [code for code in known if incomplete and code.startswith(incomplete)]


OFFERED: Final[dict[str, Callable[..., list[str]]]] = {
    "--rules": recipes,
    "--diff": recipes,
    "--preprocess": preprocessings,
    "--gpu": gpus,
    "--only": names,
    "--without": improvers,
}
