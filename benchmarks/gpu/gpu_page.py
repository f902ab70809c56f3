"""benchmarks/GPU.md from the records: every figure on it is one of theirs, or computed of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import held
from held import PLACEMENTS, TIMINGS, Held, Timing
from measured import Engine

PAGE = Path(__file__).parents[1] / "GPU.md"
NONE = "-"
SHOWN = {"latency": "launched", "graph": "as a graph"}
INTRODUCTION = """# The cost model against a GPU

`python benchmarks/gpu/compare.py RESULT.json --models FOLDER --gpu NAME --write` makes this page
from the records in `benchmarks/gpu/results/`; no figure is typed by hand.
[benchmarks/gpu/README.md](gpu/README.md) says how it is measured and how to read it.
"""


def text(records: Sequence[Held]) -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *map(section, records)])


def section(record: Held) -> str:
    """All figures of one GPU."""
    result = record.result
    versions = ", ".join(f"{name} {version}" for name, version in result.machine.versions.items())
    facts = ", ".join(f"{name} {value}" for name, value in result.machine.gpu.items())
    counts = held.counts(result)
    lines = [
        f"## {record.gpu}, {result.backend}",
        "",
        f"{facts}; {versions}; files by onnxq {result.bundle}, costs by onnxq {record.onnxq}; "
        f"{result.date}. {counts['ran']} of {counts['all']} engines ran.",
        "",
        "### Order",
        "",
        _table(["Spearman, least time against", *SHOWN.values(), "engines"], _orders(record)),
        "### INT8 by FP16",
        "",
        _table(
            ["", "engine", "predicted", *(f"{how}, agrees" for how in SHOWN.values())],
            _ratios(record),
        ),
        "### The fastest INT8 engine of onnxq",
        "",
        _table(["", "", "engine", "by ModelOpt's", "by FP16", "goal"], _goals(record)),
        "### All engines",
        "",
        _table(
            [
                "",
                "engine",
                "least ms",
                *(f"{how}, ms (p10 to p90)" for how in SHOWN.values()),
                "MB",
                "dB, same file",
                "dB, FP32",
            ],
            _engines(record),
        ),
        *_missing(record),
    ]
    return "\n".join(lines)


def _orders(record: Held) -> Iterator[list[str]]:
    rows = {"all models": record.models, **{name: (name,) for name in record.models}}
    if len(record.models) < len(record.result.networks):
        rows[PLACEMENTS] = (PLACEMENTS,)
    for name, networks in rows.items():
        figures = [record.correlation(networks, timing) for timing in TIMINGS]
        yield [name, *(_number(figure) for figure, _ in figures), str(figures[0][1])]


def _ratios(record: Held) -> Iterator[list[str]]:
    by_place = {
        timing: {(r.network, r.engine): r for r in record.ratios(timing)} for timing in TIMINGS
    }
    for place, ratio in by_place["latency"].items():
        measured = [by_place[timing].get(place) for timing in TIMINGS]
        shown = [
            NONE if r is None else f"{r.measured:.2f}, {'yes' if r.agrees else '**no**'}"
            for r in measured
        ]
        yield [*place, f"{ratio.predicted:.2f}", *shown]


def _goals(record: Held) -> Iterator[list[str]]:
    words = {True: "reached", False: "missed", None: NONE}
    for timing in TIMINGS:
        for goal in record.goals(timing):
            ratios = [NONE if r is None else f"{r:.2f}" for r in (goal.by_peer, goal.by_fp16)]
            yield [goal.network, SHOWN[timing], goal.engine, *ratios, words[goal.is_reached]]


def _engines(record: Held) -> Iterator[list[str]]:
    for network in record.result.networks:
        for engine in network.engines:
            predicted = record.ms(network.network, engine.name)
            yield [
                network.network,
                engine.name,
                NONE if predicted is None else f"{predicted:.4f}",
                *(_time(engine, timing) for timing in TIMINGS),
                NONE if engine.engine_bytes is None else f"{engine.engine_bytes / 1e6:.1f}",
                _worst(engine.same_db),
                _worst(engine.float_db),
            ]


def _time(engine: Engine, timing: Timing) -> str:
    latency = getattr(engine, timing)
    if latency is None:
        return NONE
    return f"{latency.median:.4f} ({latency.p10:.4f} to {latency.p90:.4f})"


def _worst(figures: dict[str, float]) -> str:
    return f"{min(figures.values()):.1f}" if figures else NONE


def _number(figure: float) -> str:
    return NONE if math.isnan(figure) else f"{figure:.2f}"


def _missing(record: Held) -> list[str]:
    """What is not in the tables, and why."""
    reasons = held.problems(record.result)
    for network, engines in record.predicted.items():
        for name, predicted in engines.items():
            if predicted.problem is not None:
                reasons.setdefault(f"no cost: {predicted.problem}", []).append(f"{network}, {name}")
    if not reasons:
        return []
    lines = [f"- {'; '.join(names)}: `{why}`" for why, names in reasons.items()]
    return ["### What failed, and what was not measured", "", *lines, ""]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    listed = list(rows)
    if not listed:
        return "Nothing was measured for it.\n"
    lines = [head, ["---"] * len(head), *listed]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
