"""Improvement: the numbers that improvers changed, with what each gained; a file and a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from onnxq.array_file import ArrayFile, Arrays
from onnxq.calibration.statistics import Statistics
from onnxq.diagnostics import Diagnostic, error, first_line
from onnxq.improvement.edits import Array, Edits, with_divisors
from onnxq.improvement.steps import Step
from onnxq.insertion.scales import Scales
from onnxq.outputs import require_writable
from onnxq.planning.plan import Pair, Plan
from onnxq.shown import Shown

PairKey = tuple[str, str, int]  # the tensor of a pair, and the node and slot of its first use
FILE: Final = ArrayFile(
    kind="improvement",
    version=1,
    dtypes={"meta": np.uint8, "values": np.uint8},
    codes=("OQ473", "OQ474", "OQ440"),
    command="onnxq improve",
    again="improve the model again",
)


def key_of(pair: Pair) -> PairKey:
    """What names a pair in every plan of a model."""
    return (pair.tensor, pair.edges[0].node, pair.edges[0].slot)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Improvement(Shown):
    """Changed constants, new biases and scales of a model with a plan; immutable.

    `constants` are values of initializers and Constant nodes by name, `biases` those of ops that
    had none, by node name, `divisors` those in front of pairs (`Edits`), `scales` those of pairs.
    `moved` are activations whose float values changed. `fitted` and `validated` count the samples
    that the improvers saw, and those that judged them. `loss` names the loss of a user, `settings`
    are the other options that change the result. The digests are of what it was made from: the
    model, the plan, the statistics and the samples.
    """

    model_digest: str
    plan_digest: str
    statistics_digest: str
    data_digest: str
    recipe: str
    loss: str
    settings: str
    seed: int
    fitted: int
    validated: int
    steps: tuple[Step, ...] = ()
    constants: Mapping[str, Array] = field(default_factory=dict)
    biases: Mapping[str, Array] = field(default_factory=dict)
    divisors: Mapping[PairKey, Array] = field(default_factory=dict)
    scales: Mapping[PairKey, Array] = field(default_factory=dict)
    moved: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    path: Path | None = None

    @property
    def gain_db(self) -> float | None:
        """How many dB the samples that nothing was fitted on gained; None for a user's loss."""
        return None if self.loss else sum(step.gain_db for step in self.steps)

    def require_fits(self, plan: Plan, statistics: Statistics | None) -> None:
        """Raise OQ476 unless it was made for this model, with this plan and these statistics."""
        parts = {
            "for another model": (self.model_digest, plan.model_digest),
            "for another plan": (self.plan_digest, plan.digest),
            "with another calibration": (
                self.statistics_digest,
                self.statistics_digest if statistics is None else statistics.digest,
            ),
        }
        if other := [what for what, (made, now) in parts.items() if made != now]:
            name = "the improvement" if self.path is None else f"'{self.path}'"
            raise error(
                "OQ476",
                f"{name} was made {other[0]}, by recipe '{self.recipe}'",
                fix="insert with what it was made with, or run 'onnxq improve' again",
            )

    def edits(self, scales: Scales) -> Edits:
        """The changes, for pairs that have scales."""
        divisors = _by_pair(scales.by_pair, self.divisors)
        return Edits(
            constants=self.constants,
            biases=dict(sorted(self.biases.items())),
            divisors=divisors,
            scales=_by_pair(with_divisors(scales.by_pair, divisors), self.scales),
            moved=frozenset(self.moved),
        )

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all changed numbers, and of what they were made from."""
        return hashlib.sha256(b"".join(a.tobytes() for a in pack(self, {}).values())).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The steps, the counts of what changed, and the diagnostics."""
        return {
            "path": None if self.path is None else str(self.path),
            "recipe": self.recipe,
            "fitted": self.fitted,
            "validated": self.validated,
            "gain_db": self.gain_db,
            "loss": self.loss,
            "steps": [step.to_dict(own_loss=bool(self.loss)) for step in self.steps],
            "constants": sorted(self.constants),
            "biases": sorted(self.biases),
            "divisors": sorted(tensor for tensor, _, _ in self.divisors),
            "scales": sorted(tensor for tensor, _, _ in self.scales),
            "digest": self.digest,
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }

    def save(self, path: str | Path) -> Improvement:
        """Write an npz, whole or not at all; equal bytes for equal content (OQ501)."""
        require_writable({"the improvement": Path(path)}, ())
        FILE.write(path, pack(self, {}))
        return replace(self, path=Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Improvement:
        """Read what `save` wrote.

        Raises OQ473 for no such file, OQ474 for a damaged or another one, OQ440 for a newer one.
        """
        arrays = FILE.read(path)
        try:
            return replace(unpack(arrays)[0], path=Path(path))
        except ValidationError as cause:
            raise FILE.unusable(path, cause.errors()[0]["msg"]) from cause
        except Exception as cause:  # content that no `save` wrote fails in dozens of ways
            raise FILE.unusable(path, first_line(cause)) from cause


def _by_pair(pairs: Iterable[Pair], arrays: Mapping[PairKey, Array]) -> dict[Pair, Array]:
    """The arrays by pair, in the order of the pairs; OQ476 for one whose pair is missing."""
    by_key = {key_of(pair): pair for pair in pairs}
    if missing := arrays.keys() - by_key.keys():
        tensor, node, _ = min(missing)
        raise error(
            "OQ476",
            f"the improvement has numbers for a pair on '{tensor}' that '{node}' reads, and there "
            "is none",
            fix="insert with the statistics that it was made with, or run 'onnxq improve' again",
        )
    return {pair: arrays[key] for key, pair in by_key.items() if key in arrays}


_STRICT: Final = ConfigDict(strict=True, extra="forbid")
_DTYPES: Final = ("<f2", "<f4", "<f8", "<i8", "|b1")


class _Place(BaseModel):
    """An array in `values`, one behind the other."""

    model_config = _STRICT
    kind: str  # constant, bias, divisor, scale or state
    name: str
    node: str = ""
    slot: int = 0
    dtype: str
    shape: list[NonNegativeInt]


class _Step(BaseModel):
    model_config = _STRICT
    name: str
    ops: int
    changed: int
    loss_before: float
    loss_after: float
    kept: bool
    why: str = ""
    notes: dict[str, str] = {}


class _Meta(BaseModel):
    model_config = _STRICT
    model_digest: str
    plan_digest: str
    statistics_digest: str
    data_digest: str
    recipe: str
    loss: str
    settings: str
    seed: int
    fitted: NonNegativeInt
    validated: NonNegativeInt
    steps: list[_Step]
    arrays: list[_Place]
    moved: list[str] = []


def pack(improvement: Improvement, state: Mapping[str, Array]) -> dict[str, NDArray[Any]]:
    """The arrays of a file: all numbers end to end, and JSON that says which they are.

    `state` is that of an improver at work, for a checkpoint.
    """
    entries = [
        *((("constant", n, "", 0), a) for n, a in sorted(improvement.constants.items())),
        *((("bias", n, "", 0), a) for n, a in sorted(improvement.biases.items())),
        *((("divisor", *key), a) for key, a in sorted(improvement.divisors.items())),
        *((("scale", *key), a) for key, a in sorted(improvement.scales.items())),
        *((("state", n, "", 0), a) for n, a in sorted(state.items())),
    ]
    arrays = [np.ascontiguousarray(a).reshape(a.shape) for _, a in entries]
    meta = _Meta(
        model_digest=improvement.model_digest,
        plan_digest=improvement.plan_digest,
        statistics_digest=improvement.statistics_digest,
        data_digest=improvement.data_digest,
        recipe=improvement.recipe,
        loss=improvement.loss,
        settings=improvement.settings,
        seed=improvement.seed,
        fitted=improvement.fitted,
        validated=improvement.validated,
        moved=list(improvement.moved),
        steps=[_Step(**asdict(step)) for step in improvement.steps],
        arrays=[
            _Place(kind=k, name=n, node=o, slot=s, dtype=a.dtype.str, shape=list(a.shape))
            for ((k, n, o, s), _), a in zip(entries, arrays, strict=True)
        ],
    )
    text = json.dumps(meta.model_dump(exclude_defaults=True), sort_keys=True)
    return {
        "meta": np.frombuffer(text.encode(), np.uint8),
        "values": np.frombuffer(b"".join(a.tobytes() for a in arrays), np.uint8),
    }


def unpack(arrays: Arrays) -> tuple[Improvement, Mapping[str, Array]]:
    """The improvement and the state of a file; any exception where `pack` did not make it."""
    meta = _Meta.model_validate_json(arrays["meta"].tobytes())
    values, at = arrays["values"].tobytes(), 0
    kinds: dict[str, dict[Any, Array]] = {
        k: {} for k in ("constant", "bias", "divisor", "scale", "state")
    }
    for place in meta.arrays:
        if place.dtype not in _DTYPES:
            raise ValueError(f"'{place.name}' has type {place.dtype}")
        count = int(np.prod(place.shape, dtype=np.int64))
        array = np.frombuffer(values, place.dtype, count, at).reshape(place.shape)
        at += array.nbytes
        of_pair = place.kind in ("divisor", "scale")
        key = (place.name, place.node, place.slot) if of_pair else place.name
        kinds[place.kind][key] = array
    if at != len(values):
        raise ValueError("its arrays do not fill the file")
    improvement = Improvement(
        **meta.model_dump(exclude={"steps", "arrays", "moved"}),
        steps=tuple(Step(**step.model_dump()) for step in meta.steps),
        moved=tuple(meta.moved),
        constants=kinds["constant"],
        biases=kinds["bias"],
        divisors=kinds["divisor"],
        scales=kinds["scale"],
    )
    return improvement, kinds["state"]
