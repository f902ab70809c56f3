"""The scale of every pair of a plan: looked up and replaced by tensor name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from onnxq.diagnostics import Diagnostic, OnnxqError, did_you_mean, error
from onnxq.formats import FORMATS
from onnxq.planning.plan import Group, Pair, Plan
from onnxq.shown import Shown

Scale = npt.NDArray[np.float32 | np.float16]  # a scalar, one a channel, or one a block
# A tensor, a tensor as the consumer node of this name reads it, or a pair.
ScaleKey = str | tuple[str, str] | Pair


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Scales(Shown):
    """The scale of every pair of a plan, and what was odd about the computed ones.

    Pairs are those of the plan, less the uses of which the data say nothing (OQ240). Scales are
    arrays of float32, for float16 tensors of float16: rank 0 per tensor, one value a channel, or
    one a block in the rank of the weight. Other real numbers and arrays are converted (OQ419).

    Iteration, lookup and `replaced` take a tensor name. A tensor whose pairs have different scales
    has one key for each consumer node, (tensor, node). `edited` names the tensors whose scales were
    replaced by hand. `made_for` has the digests of the model and of the plan. `groups` are what
    the ranges left of the plan's share groups; a pair's `group` is a place in them.
    `untied` are the tensors that left one, because their range is far smaller (OQ457).
    """

    by_pair: Mapping[Pair, Scale]
    diagnostics: tuple[Diagnostic, ...]
    edited: tuple[str, ...] = ()
    made_for: tuple[str, str] | None = None
    groups: tuple[Group, ...] | None = None
    untied: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        scales = {pair: as_scale(pair, value) for pair, value in self.by_pair.items()}
        object.__setattr__(self, "by_pair", scales)

    def __iter__(self) -> Iterator[str | tuple[str, str]]:
        """The keys in the order of the plan."""
        by_tensor: dict[str, list[Pair]] = {}
        for pair in self.by_pair:
            by_tensor.setdefault(pair.tensor, []).append(pair)
        for tensor, pairs in by_tensor.items():
            if self._equal(pairs):
                yield tensor
            else:
                yield from dict.fromkeys((tensor, e.node) for pair in pairs for e in pair.edges)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        return key in self.by_pair or any(
            key == pair.tensor or key in [(pair.tensor, edge.node) for edge in pair.edges]
            for pair in self.by_pair
        )

    def items(self) -> Iterator[tuple[str | tuple[str, str], float | Scale]]:
        """Every key with its scale."""
        return ((key, self[key]) for key in self)

    @overload
    def __getitem__(self, key: Pair) -> Scale: ...
    @overload
    def __getitem__(self, key: str | tuple[str, str]) -> float | Scale: ...
    def __getitem__(self, key: ScaleKey) -> float | Scale:
        """The scale of a tensor: a float per tensor, else an array; of a Pair always an array.

        Raises OQ419 for an unknown key, and for a tensor whose pairs have different scales.
        """
        pairs = self._pairs(key)
        scale = self.by_pair[pairs[0]]
        if isinstance(key, Pair):
            return scale
        if not self._equal(pairs):
            listed = ", ".join(_consumers(pair) for pair in pairs)
            narrower = (pairs[0].tensor, pairs[0].edges[0].node)
            raise error(
                "OQ419",
                f"{_called(key)} has pairs with different scales, for {listed}",
                fix=f"name the consumer node too: {narrower}",
            )
        return scale if scale.ndim else float(scale)

    def to_dict(self) -> dict[str, Any]:
        """Every pair with its readers and scale, tensors edited by hand or untied, diagnostics."""
        return {
            "pairs": [
                {
                    "tensor": pair.tensor,
                    "nodes": list(dict.fromkeys(edge.node for edge in pair.edges)),
                    "kind": pair.kind,
                    "descriptor": pair.descriptor.text(pair.axis),
                    "group": pair.group,
                    "scale": scale.tolist(),
                }
                for pair, scale in self.by_pair.items()
            ],
            "edited": list(self.edited),
            "untied": list(self.untied),
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }

    @overload
    def replaced(self, scales: Mapping[ScaleKey, npt.ArrayLike], /) -> Scales: ...
    @overload
    def replaced(self, scales: Mapping[str, npt.ArrayLike], /) -> Scales: ...
    @overload
    def replaced(self, key: ScaleKey, scale: npt.ArrayLike, /) -> Scales: ...
    def replaced(self, scales: Any, scale: Any = None, /) -> Scales:
        """Return scales of which some are replaced: {tensor: scale}, or a tensor and its scale.

        A tensor name stands for all pairs on that tensor. A share group has one scale, so that of
        all of its pairs is replaced.

        Raises OQ419 with every unknown key, every scale that is not positive and finite in the
        type of the pair or has another shape than the present one, every share group or pair that
        is given two scales, and every pair that the model has already (`Pair.existing`).
        """
        problems: list[Diagnostic] = []
        edits: dict[Pair, tuple[ScaleKey, Scale]] = {}
        for key, value in (scales if isinstance(scales, Mapping) else {scales: scale}).items():
            try:
                for pair in self._tied(self._pairs(key)):
                    new = self._checked(pair, value)
                    other, present = edits.setdefault(pair, (key, new))
                    if not np.array_equal(present, new):
                        raise _two_scales(other, key)
            except OnnxqError as reason:
                problems += reason.diagnostics
        if problems:
            raise OnnxqError(*problems)
        by_pair = {**self.by_pair, **{pair: new for pair, (_, new) in edits.items()}}
        edited = dict.fromkeys((*self.edited, *(pair.tensor for pair in edits)))
        return replace(self, by_pair=by_pair, edited=tuple(edited))

    def carried_out(self, plan: Plan) -> Plan:
        """The plan with these pairs, and the share groups that the ranges left."""
        groups = plan.groups if self.groups is None else self.groups
        return replace(plan, pairs=tuple(self.by_pair), groups=groups)

    def _pairs(self, key: ScaleKey) -> list[Pair]:
        """The pairs that a key stands for, at least one (OQ419)."""
        if isinstance(key, Pair):
            if key not in self.by_pair:
                raise error(
                    "OQ419",
                    f"the pair on '{key.tensor}' is not one of these scales",
                    fix="use the pairs of 'by_pair', or the name of the tensor",
                )
            return [key]
        tensor, node = (key, None) if isinstance(key, str) else key
        pairs = [pair for pair in self.by_pair if pair.tensor == tensor]
        if not pairs:
            fix = did_you_mean(tensor, {pair.tensor for pair in self.by_pair})
            raise error("OQ419", f"'{tensor}' has no pair", fix=fix)
        read = [p for p in pairs if node is None or any(e.node == node for e in p.edges)]
        if not read:
            fix = did_you_mean(str(node), {e.node for pair in pairs for e in pair.edges})
            raise error("OQ419", f"'{node}' does not read '{tensor}' through a pair", fix=fix)
        return read

    def _tied(self, pairs: list[Pair]) -> list[Pair]:
        """These pairs and all others of their share groups."""
        groups = {pair.group for pair in pairs if pair.group is not None}
        if not groups:
            return pairs
        return [pair for pair in self.by_pair if pair in pairs or pair.group in groups]

    def _equal(self, pairs: Iterable[Pair]) -> bool:
        first, *others = (self.by_pair[pair] for pair in pairs)
        return all(np.array_equal(first, other) for other in others)

    def _checked(self, pair: Pair, value: npt.ArrayLike) -> Scale:
        """The new scale of a pair (OQ419)."""
        if pair.existing is not None:
            raise error(
                "OQ419",
                f"'{pair.tensor}' has a pair in the model already, whose scale stays",
                fix="strip the pairs of the model first (--existing strip)",
            )
        scale = as_scale(pair, value)
        require_shape(pair, scale, self.by_pair[pair].shape)
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise error(
                "OQ419",
                f"the scale of '{pair.tensor}' is not positive and finite in {scale.dtype}: "
                f"{_summary(np.asarray(value, np.float64))}",
                fix=f"divide the largest magnitude by {FORMATS[pair.descriptor.dtype].largest:g}",
            )
        return scale


def as_scale(pair: Pair, value: npt.ArrayLike) -> Scale:
    """Convert a number or an array to the type that a pair stores, rank 0 per tensor (OQ419)."""
    try:
        numbers = np.asarray(value)
        if numbers.dtype.kind not in "iufOV":  # a string is converted to a number otherwise
            raise TypeError
        with np.errstate(over="ignore", under="ignore"):
            scale: Scale = numbers.astype(np.float16 if pair.is_half else np.float32)
        return scale.reshape(()) if pair.axis is None else scale
    except (TypeError, ValueError):
        raise error(
            "OQ419",
            f"the scale of '{pair.tensor}' cannot be {value!r:.60}",
            fix="give a real number per tensor, else an array of numbers",
        ) from None


def require_shape(pair: Pair, scale: Scale, shape: tuple[int, ...]) -> None:
    """Raise OQ419 for a scale of another shape."""
    if scale.shape != shape:
        raise error(
            "OQ419",
            f"the scale of '{pair.tensor}' has shape {scale.shape}, and not {shape}",
            fix=f"give an array of shape {shape}",
        )


def scale_shape(pair: Pair, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the scale of a weight of some shape."""
    if pair.axis is None:
        return ()
    if (size := pair.descriptor.block_size) is None:
        return (shape[pair.axis],)
    return tuple(n // size if axis == pair.axis else n for axis, n in enumerate(shape))


def _two_scales(key: ScaleKey, other: ScaleKey) -> OnnxqError:
    return error(
        "OQ419",
        f"{_called(key)} and {_called(other)} share one scale and are given two",
        fix="replace one of them: the other changes with it",
    )


def _called(key: ScaleKey) -> str:
    if isinstance(key, Pair):
        return f"'{key.tensor}' for {_consumers(key)}"
    return f"'{key}'" if isinstance(key, str) else f"'{key[0]}' for '{key[1]}'"


def _consumers(pair: Pair) -> str:
    return " and ".join(f"'{node}'" for node in dict.fromkeys(e.node for e in pair.edges))


def _summary(scale: Any) -> str:
    """A number, or the range and the shape of an array."""
    values = np.asarray(scale)
    if values.ndim == 0:
        return f"{values:.6g}"
    return f"{values.min():.6g} to {values.max():.6g}, shape {values.shape}"
