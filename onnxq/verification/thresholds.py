"""Thresholds for CI: the least that a report must show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from onnxq.diagnostics import Diagnostic, did_you_mean, error
from onnxq.verification.numeric import Comparison
from onnxq.verification.report import ModelReport, VerifyReport

Figure = Literal["sqnr", "cosine"]
_LIMITS: Final[Mapping[Figure, tuple[float, float]]] = {
    "sqnr": (float("-inf"), float("inf")),
    "cosine": (-1.0, 1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The least SQNR (dB) and cosine by output, and the least shares of MACs (0 to 1).

    `int8` is the share in int8, `quantized` that in int8, fp8 or int4. `every_sqnr` and
    `every_cosine` hold for every float output that is not named.
    """

    sqnr: Mapping[str, float] = field(default_factory=dict)
    cosine: Mapping[str, float] = field(default_factory=dict)
    every_sqnr: float | None = None
    every_cosine: float | None = None
    int8: float | None = None
    quantized: float | None = None


def parse(
    outputs: Sequence[str],
    *,
    sqnr: Iterable[str] = (),
    cosine: Iterable[str] = (),
    int8: float | None = None,
    quantized: float | None = None,
) -> Thresholds:
    """Read thresholds as the command line has them: '25' for every output, 'boxes:25' for one.

    The last that names an output holds. OQ654 for what cannot be read or never be met, and for a
    name that is not among `outputs`.
    """
    for name, share in (("int8", int8), ("quantized", quantized)):
        if share is not None and not 0 <= share <= 1:
            raise error("OQ654", f"--min-{name} {share:g} is no share", fix="give one from 0 to 1")
    read_sqnr, read_cosine = _read("sqnr", sqnr, outputs), _read("cosine", cosine, outputs)
    return Thresholds(
        every_sqnr=read_sqnr.pop("", None),
        every_cosine=read_cosine.pop("", None),
        sqnr=read_sqnr,
        cosine=read_cosine,
        int8=int8,
        quantized=quantized,
    )


def _read(figure: Figure, given: Iterable[str], outputs: Sequence[str]) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, number = text.rpartition(":")
        low, high = _LIMITS[figure]
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            example = "25 or --min-sqnr NAME:25" if figure == "sqnr" else "0.99"
            raise error(
                "OQ654",
                f"--min-{figure} '{text}' is no threshold",
                fix=f"write --min-{figure} {example}",
            )
        if name and name not in outputs:
            raise error(
                "OQ654",
                f"--min-{figure} names '{name}', which is not an output",
                fix=did_you_mean(name, outputs),
            )
        found[name] = value
    return found


def refusals(report: VerifyReport, least: Thresholds) -> tuple[Diagnostic, ...]:
    """What the thresholds refuse (OQ604), of every Q/DQ model.

    A figure that could not be had is below every threshold.
    """
    several = len(report.models) > 1
    return tuple(
        Diagnostic(
            code="OQ604",
            message=f"'{model.model}': {message}" if several else message,
            fix=fix,
        )
        for model in report.models
        for message, fix in _missed(model, least)
    )


def _missed(model: ModelReport, least: Thresholds) -> Iterator[tuple[str, str]]:
    outputs = model.numeric.outputs if model.numeric is not None else ()
    asked = least.sqnr or least.cosine or (least.every_sqnr, least.every_cosine) != (None, None)
    if asked and not outputs:
        had_by = "give --data" if model.why_not_numeric is None else "see why they did not run"
        yield "the models were not compared, and thresholds ask for their figures", had_by
    for output in outputs:
        every = least.every_sqnr if output.is_float or output.problem else None
        yield from _below(
            output, "SQNR", "dB", least.sqnr.get(output.name, every),
            output.sqnr_db, output.worst_sqnr_db, output.worst_sample,
        )  # fmt: skip
        every = least.every_cosine if output.is_float or output.problem else None
        yield from _below(
            output, "cosine", "", least.cosine.get(output.name, every),
            output.cosine, output.worst_cosine, output.worst_cosine_sample,
        )  # fmt: skip
    yield from _below_shares(model, least)


def _below(
    output: Comparison,
    what: str,
    unit: str,
    least: float | None,
    value: float | None,
    worst: float | None,
    sample: str | None,
) -> Iterator[tuple[str, str]]:
    if least is None or (value is not None and value >= least):
        return
    unit = f" {unit}" if unit else ""
    asked = f"at least {least:g}{unit} is asked for"
    if value is None or worst is None:
        why = output.problem or f"it is {output.dtype}"
        yield (
            f"the {what} of output '{output.name}' is not known ({why}), and {asked}",
            "see why, or set no threshold for this output",
        )
        return
    told = f"is {_shown(value, least)}{unit}, and {asked}"
    yield (
        f"the {what} of output '{output.name}' {told}; "
        f"worst sample '{sample}': {_shown(worst, least)}{unit}",
        "verify with --tensors shows where it is lost; skip that, or try another method",
    )


def _shown(value: float, least: float) -> str:
    """A figure with at least four digits, and as many as show that it is below the threshold."""
    texts = (f"{value:.{digits}g}" for digits in range(4, 18))
    return next((t for t in texts if float(t) < least or value >= least), repr(value))


def _below_shares(model: ModelReport, least: Thresholds) -> Iterator[tuple[str, str]]:
    found = model.compiled
    yield from _below_share("int8", None if found is None else found.int8_macs, least.int8)
    share = None if found is None else found.quantized_macs
    yield from _below_share("int8, fp8 or int4", share, least.quantized)


def _below_share(types: str, share: float | None, least: float | None) -> Iterator[tuple[str, str]]:
    if least is None or (share is not None and share >= least):
        return
    asked = f"and at least {least:g} is asked for"
    if share is None:
        yield (
            f"the share of MACs in {types} is not known, {asked}",
            "install onnxq[rtx], and give --shape for dynamic sizes",
        )
    else:
        yield (
            f"the share of MACs in {types} is {_shown(share, least)}, {asked}",
            "the report says why each op stayed in float",
        )
