"""benchmarks/SENSITIVITY.md, from the records: every figure on it is one of theirs, or made so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sensitivity_records
from page import table
from sensitivity_records import PLAIN, SensitivityRecord
from subjects import SUBJECTS

PAGE = Path(__file__).parent / "SENSITIVITY.md"
WAYS = {
    "gradients": "onnxq, gradients",
    "unmeasured": "its gradients alone, the worst not measured",
    "switches": "onnxq, switches",
    "leave-one-out": "leave one out",
    "local": "local noise / signal",
}
ORDERS = {
    "gradients": "noise by gradients / MACs",
    "switches": "noise by switches / MACs",
    "truth": "true noise / MACs",
    "leave-one-out": "leave one out / MACs",
    "magnitude": "largest activation first",
    "random": "random, mean of three",
}
RIVALS = ("random", "magnitude")
INTRODUCTION = """# Ranking by sensitivity

`python benchmarks/sensitivity.py --write` makes this page from the records in
`benchmarks/sensitivity_results/`; no figure is typed by hand.

**Ranking.** The truth is the noise power / signal power that a pair alone brings to the outputs,
the mean over their parts and over the samples. Each way of ranking the pairs is compared with it by
the rank correlation (Spearman) of all pairs, and by how many of the worst ten are the same.

- Cost is in CPU seconds over those of one inference of each of the same samples by the float model,
  and in runs with pairs switched on for each pair. All of it is with one thread, in one process.
- Leave one out switches all pairs on but one, on fewer samples than the others, as it takes long.
- Local noise / signal looks at the tensors of a pair alone.

**Skipping.** Ops with multiply-accumulates (MACs) go into float one after the other, as far as a
budget of MACs reaches; those that do not fit are passed over. Ops are taken by the noise of all
pairs that they read over their MACs, the highest first, except: "largest activation first" goes by
the largest amax of the activations that an op reads, and random orders (the mean of three seeds)
by nothing. An op in float loses its pairs; one that others read too stays for these. The Q/DQ
models run as written on samples that neither calibrated nor ranked. The figure is the SQNR in dB of
the worst output or part of one.
"""


def text() -> str:
    """The whole page."""
    found = [r for name in SUBJECTS if (r := sensitivity_records.load(name)) is not None]
    return "\n".join([INTRODUCTION, _summary(found), *map(section, found), _versions(found)])


def section(record: SensitivityRecord) -> str:
    """All figures of one model."""
    about = (
        f"{record.package}; {record.data}; {record.calibrated} samples calibrate, the first "
        f"{record.ranked_on} of them rank, {record.evaluated} others judge; {record.pairs} pairs, "
        f"{record.ops} ops; one inference of the {record.ranked_on} samples takes "
        f"{record.plain_cpu_s} CPU s, the truth {record.truth_cpu_s}; all of it took "
        f"{record.wall_s:.0f} s on the clock."
    )
    measured = ", ".join(
        f"`{part}` {total} dB, the noise of the pairs added up {added} dB"
        for part, total, added in zip(record.parts, record.total_db, record.added_db, strict=True)
    )
    ranked = [
        [
            title,
            f"{ranking.spearman:.3f}",
            str(ranking.in_common),
            str(ranking.samples),
            f"{ranking.cpu_s / record.plain_cpu_s:.1f}",
            f"{ranking.runs / record.pairs:.1f}",
        ]
        for way, title in WAYS.items()
        if (ranking := record.rankings.get(way)) is not None
    ]
    ranking_head = ["", "Spearman", "of the worst 10", "samples", "plain inferences", "runs / pair"]
    return "\n".join(
        [
            f"## {SUBJECTS[record.model].title}\n",
            f"{about}\n",
            f"With all pairs: {measured}.\n",
            table(ranking_head, ranked),
            _skipping(record),
        ]
    )


def _skipping(record: SensitivityRecord) -> str:
    orders = {order: record.sqnr_db(order) for order in ORDERS}
    orders = {order: [f"{db:.1f}" for db in figures] for order, figures in orders.items()}
    best = [max(at, key=float) for at in zip(*orders.values(), strict=True)]
    rows = [
        [ORDERS[order], *(f"**{a}**" if a == b else a for a, b in zip(shown, best, strict=True))]
        for order, shown in orders.items()
    ]
    ops = [str(skipped.ops) for skipped in record.orders["gradients"]]
    head = [f"{record.int8_db:.1f} dB without", *(f"{b:.0%} of MACs" for b in record.budgets)]
    return table(head, [*rows, ["ops in float, by gradients", *ops]])


def _summary(found: Sequence[SensitivityRecord]) -> str:
    """What the tables amount to."""
    rows = []
    for record in found:
        gradients, switches = (record.rankings[way] for way in ("gradients", "switches"))
        ours = record.sqnr_db("gradients")
        beaten = [_wins(ours, record.sqnr_db(rival)) for rival in (*RIVALS, "leave-one-out")]
        rows.append(
            [
                SUBJECTS[record.model].title,
                f"{gradients.spearman:.3f}, {gradients.in_common}",
                f"{gradients.cpu_s / record.plain_cpu_s:.1f}",
                f"{switches.spearman:.3f}, {switches.in_common}",
                f"{switches.runs / record.pairs:.1f}",
                *beaten,
            ]
        )
    head = [
        "",
        "gradients: Spearman, of the worst 10",
        f"plain inferences (limit {PLAIN})",
        "switches: Spearman, of the worst 10",
        "runs / pair",
        "better than random",
        "than magnitude",
        "than leave one out",
    ]
    legend = (
        "The last three columns are at how many budgets skipping by gradients has the higher SQNR, "
        "with the differences in dB from the lowest to the highest."
    )
    return f"## All models\n\n{table(head, rows)}\n{legend}\n"


def _wins(ours: Sequence[float], theirs: Sequence[float]) -> str:
    more = [a - b for a, b in zip(ours, theirs, strict=True)]
    return f"{sum(x > 0 for x in more)} of {len(more)} ({min(more):+.2f} to {max(more):+.2f})"


def _versions(found: Sequence[SensitivityRecord]) -> str:
    seen = dict.fromkeys(
        ", ".join(f"{name} {version}" for name, version in record.versions.items())
        for record in found
    )
    days = sorted({record.date for record in found})
    machines = sorted({record.machine for record in found})
    return f"## Versions\n\n{'; '.join(seen)}; {', '.join(machines)}; {', '.join(days)}.\n"
