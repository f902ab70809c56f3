"""Thresholds for CI: the lowest figures that pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from onnxq.diagnostics import Diagnostic, did_you_mean, error
from onnxq.verification.engine_thresholds import below_shares, shown, too_slow
from onnxq.verification.numeric import Comparison

if TYPE_CHECKING:
    from onnxq.verification.report import ModelReport

Figure = Literal["sqnr", "cosine"]
_LIMITS: Final[Mapping[Figure, tuple[float, float]]] = {
    "sqnr": (float("-inf"), float("inf")),
    "cosine": (-1.0, 1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The lowest SQNR (dB) and cosine by output or part, and the lowest shares of MACs (0 to 1).

    The threshold of an output holds for each of its parts that has none of its own. `int8` is the
    share in int8, `quantized` that in int8, fp8 or int4. `every_sqnr` and `every_cosine` apply to
    every float output that is not named. `kept` is the least share of the float model's detections
    that the Q/DQ model has, `new` the highest of those that it adds. `top1_drop` is how many points
    of top-1, 0 to 100, it may have less than the float model. `cost_ratio` is the highest ratio of
    the least times of the Q/DQ engine and the FP16 engine.
    """

    sqnr: Mapping[str, float] = field(default_factory=dict)
    cosine: Mapping[str, float] = field(default_factory=dict)
    every_sqnr: float | None = None
    every_cosine: float | None = None
    int8: float | None = None
    quantized: float | None = None
    kept: float | None = None
    new: float | None = None
    top1_drop: float | None = None
    cost_ratio: float | None = None


NONE: Final = Thresholds()
Limits = float | Mapping[str, float] | Iterable[str]


def thresholds(
    outputs: Sequence[str],
    *,
    parts: Sequence[str] = (),
    sqnr: Limits | None = None,
    cosine: Limits | None = None,
    int8: float | None = None,
    quantized: float | None = None,
    kept: float | None = None,
    new: float | None = None,
    top1_drop: float | None = None,
    cost_ratio: float | None = None,
) -> Thresholds:
    """Check thresholds for a model with these outputs, and `parts` that the user named.

    `sqnr` (dB) and `cosine` are one number for every float output, numbers by name, or texts as
    on the command line: '25' for every output, 'boxes:25' for one; the last one for an output
    counts. Raises OQ654 for a text that cannot be parsed, a threshold that cannot be met, and an
    unknown name.
    """
    shares = (
        ("min-int8", int8),
        ("min-quantized", quantized),
        ("min-kept", kept),
        ("max-new", new),
    )
    for name, share in shares:
        if share is not None and not 0 <= share <= 1:
            message = f"--{name} {share:g} is not a share"
            raise error("OQ654", message, fix="give one from 0 to 1")
    if top1_drop is not None and not 0 <= top1_drop <= 100:
        message = f"--max-top1-drop {top1_drop:g} is not a drop of top-1"
        raise error("OQ654", message, fix="give points from 0 to 100, such as 0.5")
    if cost_ratio is not None and not 0 < cost_ratio < float("inf"):
        message = f"--max-cost-ratio {cost_ratio:g} is not a ratio of two times"
        raise error("OQ654", message, fix="give one above 0, such as 0.8")
    by_figure: dict[Figure, dict[str, float]] = {
        "sqnr": _by_name("sqnr", sqnr, (*outputs, *parts)),
        "cosine": _by_name("cosine", cosine, (*outputs, *parts)),
    }
    return Thresholds(
        every_sqnr=by_figure["sqnr"].pop("", None),
        every_cosine=by_figure["cosine"].pop("", None),
        sqnr=by_figure["sqnr"],
        cosine=by_figure["cosine"],
        int8=int8,
        quantized=quantized,
        kept=kept,
        new=new,
        top1_drop=top1_drop,
        cost_ratio=cost_ratio,
    )


def _by_name(figure: Figure, limits: Limits | None, names: Sequence[str]) -> dict[str, float]:
    """The threshold by output or part; '' is every output."""
    if limits is None:
        return {}
    if isinstance(limits, int | float):
        items: list[tuple[str, object]] = [("", limits)]
    elif isinstance(limits, Mapping):
        items = list(limits.items())
    else:
        pieces = (text.rpartition(":") for text in limits)
        items = [(name, number) for name, _, number in pieces]
    return {name: _limit(figure, name, value, names) for name, value in items}


def _limit(figure: Figure, name: str, value: object, names: Sequence[str]) -> float:
    low, high = _LIMITS[figure]
    try:
        limit = float(str(value))
    except ValueError:
        limit = float("nan")
    if not low <= limit <= high:
        example = "25 or --min-sqnr NAME:25" if figure == "sqnr" else "0.99"
        text = f"{name}:{value}" if name else value
        raise error(
            "OQ654",
            f"--min-{figure} '{text}' is not a threshold",
            fix=f"write --min-{figure} {example}",
        )
    if name and name not in names:
        is_index = name.endswith("]") and name.partition("[")[0] in names
        raise error(
            "OQ654",
            f"--min-{figure} names '{name}', which is not an output or a part",
            fix=f"name the part: --part NAME={name}" if is_index else did_you_mean(name, names),
        )
    return limit


def refusals(models: Sequence[ModelReport], least: Thresholds) -> tuple[Diagnostic, ...]:
    """An OQ604 for each threshold that a Q/DQ model misses.

    A figure that was not measured misses every threshold.
    """
    return tuple(
        Diagnostic(
            code="OQ604",
            message=f"'{model.model}': {message}" if len(models) > 1 else message,
            fix=fix,
        )
        for model in models
        for message, fix in _missed(model, least)
    )


def _missed(model: ModelReport, least: Thresholds) -> Iterator[tuple[str, str]]:
    outputs = model.numeric.outputs if model.numeric is not None else ()
    needs_outputs = (
        least.sqnr or least.cosine or (least.every_sqnr, least.every_cosine) != (None, None)
    )
    if needs_outputs and not outputs:
        failed = model.why_not_numeric is not None
        fix = "correct the error that stopped them" if failed else "give --data"
        yield "the thresholds need figures, but the models were not compared", fix
    stands_for = _stands_for(model)
    known: set[str] = set()
    for output in outputs:
        called = _called(stands_for.get(output.name, (output.name,)))
        every = output.is_float or bool(output.problem)
        for judged in output.judged:
            place = called if judged is output else f"part '{judged.name}' of {called}"
            names = (judged.name, *stands_for.get(output.name, (output.name,)))
            yield from _below(
                judged, place, "SQNR", "dB",
                _limit_of(names, least.sqnr, least.every_sqnr if every else None),
                judged.sqnr_db, judged.worst_sqnr_db, judged.worst_sample,
            )  # fmt: skip
            yield from _below(
                judged, place, "cosine", "",
                _limit_of(names, least.cosine, least.every_cosine if every else None),
                judged.cosine, judged.worst_cosine, judged.worst_cosine_sample,
            )  # fmt: skip
            known.update(names)
    for name in dict.fromkeys((*least.sqnr, *least.cosine)):
        if outputs and name not in known:
            yield f"'{name}' has a threshold, but it was not compared", "set no threshold for it"
    yield from _of_detections(model, least)
    yield from _of_classes(model, least.top1_drop)
    yield from below_shares(model.compiled, least.int8, least.quantized)
    yield from too_slow(model.cost, least.cost_ratio)


def _stands_for(model: ModelReport) -> dict[str, tuple[str, ...]]:
    """By tensor: the outputs that it stands for, and itself."""
    outputs: dict[str, tuple[str, ...]] = {}
    for output, tensors in (model.numeric.stand_ins if model.numeric else {}).items():
        for tensor in tensors:
            outputs[tensor] = (*outputs.get(tensor, (tensor,)), output)
    return outputs


def _limit_of(
    names: Sequence[str], limits: Mapping[str, float], every: float | None
) -> float | None:
    """The limit for the first name, a part or a tensor, or the highest for the outputs behind it.

    That of every output where none is named.
    """
    first, *others = names
    if first in limits:
        return limits[first]
    return max((limits[name] for name in others if name in limits), default=every)


def _called(names: Sequence[str]) -> str:
    """An output, or a tensor with the outputs that it stands for."""
    if len(names) == 1:
        return f"output '{names[0]}'"
    outputs = ", ".join(f"'{name}'" for name in names[1:])
    return f"'{names[0]}', in place of output{'s' * (len(names) > 2)} {outputs},"


def _below(
    output: Comparison,
    place: str,
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
    if value is None or worst is None:
        why = output.problem or f"it is {output.dtype}"
        yield (
            f"the {what} of {place} is not known ({why}), and its threshold is {least:g}{unit}",
            "correct the cause, or set no threshold for this output",
        )
        return
    result = f"is {shown(value, least)}{unit}, below the threshold of {least:g}{unit}"
    yield (
        f"the {what} of {place} {result}; worst sample '{sample}': {shown(worst, least)}{unit}",
        "see with verify --tensors which ops lose accuracy; skip these, or try another method",
    )


def _of_detections(model: ModelReport, least: Thresholds) -> Iterator[tuple[str, str]]:
    if least.kept is None and least.new is None:
        return
    found = model.numeric.detections if model.numeric is not None else None
    if found is None:
        yield "the detections of the models were not compared", "correct the error that stopped it"
        return
    if found.kept is None or found.new is None:
        yield (
            "the share of kept detections is not known: the float model detects nothing",
            "give samples that show what it detects, or a lower --detection-score",
        )
        return
    fix = "keep the ops before the scores in float, or try another method"
    worst = f"worst sample '{found.worst_sample}'"
    if least.kept is not None and found.kept < least.kept:
        limit = f"below the threshold of {least.kept:g}"
        share = shown(found.kept, least.kept)
        yield f"the share of kept detections is {share}, {limit}; {worst}", fix
    if least.new is not None and found.new > least.new:
        limit = f"above the threshold of {least.new:g}"
        yield f"the share of new detections is {found.new:.4g}, {limit}; {worst}", fix


def _of_classes(model: ModelReport, most: float | None) -> Iterator[tuple[str, str]]:
    if most is None:
        return
    accuracy = model.numeric.accuracy if model.numeric is not None else None
    if accuracy is None:
        yield "the top-1 of the models was not compared", "correct the error that stopped it"
        return
    drop = 100 * (accuracy.lost - accuracy.gained) / accuracy.labelled  # exact, unlike shares
    if drop > most:
        yield (
            f"top-1 is {accuracy.top1:.2%}, {drop:.3g} points below the {accuracy.float_top1:.2%} "
            f"of the float model, and --max-top1-drop is {most:g}",
            "try --improve, or find a recipe with onnxq tune --max-top1-drop",
        )
