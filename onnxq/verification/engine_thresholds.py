"""Thresholds of what the engine computes and costs."""

from __future__ import annotations

from collections.abc import Iterator

from onnxq.cost.report import CostReport
from onnxq.verification.compiled import CompiledReport


def below_shares(
    compiled: CompiledReport | None, int8: float | None, quantized: float | None
) -> Iterator[tuple[str, str]]:
    """Message and fix for each of two shares of MACs that is below its threshold, or unknown."""
    of_int8, of_all = (
        (None, None) if compiled is None else (compiled.int8_macs, compiled.quantized_macs)
    )
    # The ops in front of which the engine ends.
    without = "" if compiled is None else ", ".join(compiled.without)
    yield from _below_share("int8", of_int8, int8, without)
    yield from _below_share("int8, fp8 or int4", of_all, quantized, without)


def _below_share(
    types: str, share: float | None, least: float | None, without: str
) -> Iterator[tuple[str, str]]:
    if least is None or (share is not None and share >= least):
        return
    if share is None:
        yield (
            f"the share of MACs in {types} is not known, and its threshold is {least:g}",
            f"sizes behind {without} are known with --ort-library alone"
            if without
            else "install onnxq[rtx], and give --shape for dynamic sizes",
        )
    else:
        yield (
            f"the share of MACs in {types} is {shown(share, least)}, below the threshold of "
            f"{least:g}",
            f"the engine ends in front of {without}: what is behind counts as unknown"
            if without
            else "the report says why each op is in float",
        )


def too_slow(cost: CostReport | None, highest: float | None) -> Iterator[tuple[str, str]]:
    """Likewise for the ratio of the least times where it is above its threshold, or unknown."""
    if highest is None:
        return
    limit = f"threshold of {highest:g}"
    if cost is None or cost.ratio is None:
        yield (
            f"the cost ratio is not known, and it has a {limit}",
            "correct what stopped the Q/DQ or the FP16 engine; install onnxq[rtx] if it is missing",
        )
    elif cost.ratio > highest:
        worst = f", first {cost.losses[0].code}" if cost.losses else ""
        yield (
            f"on {cost.gpu} the Q/DQ engine takes at least {cost.ratio:.4g} of the FP16 engine's "
            f"time, above the {limit}",
            f"do what the lines of the cost say{worst}; or raise the threshold",
        )


def shown(value: float, least: float) -> str:
    """A figure with at least four digits, and as many as show that it is below the threshold."""
    texts = (f"{value:.{digits}g}" for digits in range(4, 18))
    return next((t for t in texts if float(t) < least or value >= least), repr(value))
