"""What differs between two plans: in words, by kind and rule, and line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from onnxq.model.graph import Graph
from onnxq.planning import plan_file
from onnxq.planning.plan import FLOAT, NO_RULE, TIE, WHOLE_OP, Line
from onnxq.shown import Shown

_OTHERWISE: Final = "are quantized otherwise"
_FLOAT: Final = "stay float"
_TIED: Final = "share scales otherwise"
_IN_WORDS: Final = {"prefer-half": "half precision without pairs, with --float fp16 or bf16"}
_SINGULAR: Final = {
    _OTHERWISE: "is quantized otherwise",
    _FLOAT: "stays float",
    _TIED: "shares scales otherwise",
}


@dataclass(frozen=True, kw_only=True, repr=False)
class PlanChanges(Shown):
    """The decisions that differ between two plans; true when there are any.

    `summary` has a sentence for the ops that one rule changes alike, those with the most ops first.
    `lines` begin with '-' for the old plan and '+' for the new one.
    """

    summary: tuple[str, ...]
    lines: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.lines)

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def to_dict(self) -> dict[str, Any]:
        """The sentences and the lines."""
        return {"summary": list(self.summary), "lines": list(self.lines)}


def changes(old: Iterable[Line], new: Iterable[Line], graph: Graph) -> PlanChanges:
    """What differs between the lines of two plans for the model of `graph`."""
    before, after = tuple(old), tuple(new)
    return PlanChanges(
        summary=tuple(_sentences(_by_node(before), _by_node(after), graph)),
        lines=tuple(plan_file.difference(before, after)),
    )


def _by_node(lines: Sequence[Line]) -> Mapping[str, list[Line]]:
    by_node: dict[str, list[Line]] = {}
    for line in lines:
        by_node.setdefault(line.node, []).append(line)
    return by_node


def _sentences(
    before: Mapping[str, list[Line]], after: Mapping[str, list[Line]], graph: Graph
) -> Iterator[str]:
    kinds: Counter[tuple[str, str, str]] = Counter()
    for node in dict.fromkeys((*before, *after)):
        old, new = before.get(node, []), after.get(node, [])
        known = {line.decided() for line in old}
        added = [line for line in new if line.decided() not in known]
        if added or len(old) != len(new):
            op = graph.by_name[node].op if node in graph.by_name else "op"
            kinds[op, _change(old, new), _rule(added)] += 1
    for (op, change, rule), count in kinds.most_common():
        yield f"{count} {op}{'s' * (count > 1)} {_verb(change, count)}, {rule}"


def _change(old: Sequence[Line], new: Sequence[Line]) -> str:
    before, after = _type(old), _type(new)
    if before != after:
        return f"become {after}"
    whole = [[line.descriptor for line in lines if line.input == WHOLE_OP] for lines in (old, new)]
    if whole[0] == whole[1]:
        return _FLOAT if after == FLOAT else _OTHERWISE
    is_tie = any(text.startswith(TIE) for texts in whole for text in texts)
    kept = whole[1][0] if whole[1] else "float as the data allows"
    return _TIED if is_tie else f"become {_IN_WORDS.get(kept, kept)}"


def _verb(change: str, count: int) -> str:
    """The change in the singular or plural."""
    return change if count > 1 else _SINGULAR.get(change, change.replace("become", "becomes"))


def _type(lines: Sequence[Line]) -> str:
    """The type of an op's pairs; float for none."""
    types = [line.descriptor for line in lines if line.input != WHOLE_OP]
    return next((text.partition(":")[0] for text in types if text != FLOAT), FLOAT)


def _rule(added: Sequence[Line]) -> str:
    """The rule of the first new decision."""
    line = next((line for line in added if line.rule != NO_RULE), None)
    return (
        "as no rule decides on it any more"
        if line is None
        else f"by rule '{line.rule}' ({line.where})"
    )
