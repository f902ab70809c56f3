"""What the sensitivity benchmark measured: a JSON file a model in sensitivity_results/."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

from pydantic import BaseModel, ConfigDict

RESULTS = Path(__file__).parent / "sensitivity_results"
PLAIN = 40  # inferences of the sample set that ranking may cost


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ranked(_Strict):
    """A way of ranking against the truth; `runs` are those with pairs on."""

    spearman: float
    in_common: int
    samples: int
    cpu_s: float
    runs: int


class Skipped(_Strict):
    """An order at one budget: how many ops are in float, their share of MACs, the worst SQNR."""

    ops: int
    macs: float
    sqnr_db: float


class SensitivityRecord(_Strict):
    """All figures of a model; `plain_cpu_s` is one inference of each of the `ranked_on` samples."""

    model: str
    package: str
    data: str
    date: str
    machine: str
    versions: dict[str, str]
    calibrated: int
    ranked_on: int
    evaluated: int
    parts: tuple[str, ...]
    pairs: int
    ops: int
    plain_cpu_s: float
    truth_cpu_s: float
    total_db: tuple[float, ...]
    added_db: tuple[float, ...]
    rankings: dict[str, Ranked]
    int8_db: float
    budgets: tuple[float, ...]
    orders: dict[str, tuple[Skipped, ...]]
    wall_s: float

    def sqnr_db(self, order: str) -> tuple[float, ...]:
        """The SQNR of an order by budget; of 'random' the mean of the seeds."""
        named = [row for name, row in self.orders.items() if name.split()[0] == order]
        return tuple(mean(s.sqnr_db for s in at) for at in zip(*named, strict=True))


def load(model: str) -> SensitivityRecord | None:
    """The record of a model; None when nothing was measured."""
    path = RESULTS / f"{model}.json"
    if not path.exists():
        return None
    return SensitivityRecord.model_validate_json(path.read_text("utf-8"))
