"""Plans as text: one line a decision, for reviews, for version control, and to insert from.

A line has the node, its input, the tensor, the descriptor or 'float', the share group, the rule and
the place of the rule, separated by two spaces; a field with spaces is quoted as in JSON. The last
lines are about whole ops: the tensors that share a scale there, 'share_scale', the type that they
compute in with `--float`, 'fp32' or 'half', and what may improve them, as in 'improve:learn,bias'.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, get_args

from onnxq import files
from onnxq.descriptor import QuantDescriptor
from onnxq.diagnostics import OnnxqError, Severity, Span, error
from onnxq.model.graph import Edge, Graph
from onnxq.planning import improvable_lines
from onnxq.planning.pairs import fold
from onnxq.planning.plan import (
    FLOAT,
    NO_GROUP,
    TIE,
    WHOLE_OP,
    Because,
    Decision,
    FloatChoice,
    Group,
    Improvable,
    Kept,
    Line,
    Plan,
    Tie,
    digest,
)
from onnxq.planning.ties import joined

_HEAD: Final = "# onnxq plan 1"
_DECISIONS: Final = "# decisions "
_FIELD: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')
_PLACE: Final = re.compile(r"input\[([0-9]{1,9})\]")
_TIE: Final = re.compile(rf"{TIE}(?::within\(([0-9.e+-]{{1,25}})\))?")
_WHERE: Final = re.compile(r"(.*):(?:([0-9]{1,9})|(rules\[[0-9]{1,9}\]))", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """The content of a saved plan; `digest` is that of the lines as onnxq wrote them.

    `improvable` are the lines on improvers, which have no part in it.
    """

    model_digest: str
    recipe: str
    recipe_digest: str
    digest: str
    lines: tuple[Line, ...]
    improvable: tuple[Line, ...]

    @property
    def edited(self) -> bool:
        """True when somebody has changed a decision since."""
        return digest(self.lines) != self.digest


def to_text(plan: Plan) -> str:
    """The whole plan as text; the same for the same model and recipe.

    It begins with digests of the model, the recipe and the decisions, which show later edits.
    """
    head = (
        _HEAD,
        f"# model {plan.model_digest}",
        f"# recipe {_quoted_name(plan.recipe)} {plan.recipe_digest}",
        f"{_DECISIONS}{plan.digest}",
    )
    lines = (*plan.lines, *map(improvable_lines.line_of, plan.improvable))
    return "\n".join((*head, *(_joined(line.fields()) for line in lines))) + "\n"


def _quoted_name(name: str) -> str:
    """The name as it is where one line can hold it, with or without spaces; else as JSON."""
    return name if name.isprintable() and not name.startswith('"') else json.dumps(name)


def _split_name(text: str) -> tuple[str, str]:
    """Name and digest of a recipe, which the last space separates."""
    name, _, recipe_digest = text.rpartition(" ")
    with suppress(json.JSONDecodeError):  # of a file of an older onnxq, which quoted no name
        name = json.loads(name) if name.startswith('"') else name
    return name, recipe_digest


def _joined(fields: Iterable[str]) -> str:
    return "  ".join(map(_quoted, fields))


def _quoted(field: str) -> str:
    plain = field.isprintable() and _FIELD.fullmatch(field) and not field.startswith('"')
    return field if plain else json.dumps(field)


def difference(old: Iterable[Line], new: Iterable[Line]) -> list[str]:
    """Decisions that differ, '-' for the old and '+' for the new; rules alone do not count."""
    before, after = ([_joined(line.decided()) for line in side] for side in (old, new))
    shown = difflib.unified_diff(before, after, lineterm="", n=0)
    return [line for line in shown if line[:1] in "+-" and line[:3] not in ("---", "+++")]


def read(path: Path) -> Saved:
    """Read a saved plan of any model (OQ212)."""
    try:
        text = files.text(path).splitlines()
    except OSError as reason:
        cause = (reason.strerror or str(reason)).lower()
        raise error(
            "OQ212", f"cannot read the plan '{path}': {cause}", fix="check the path"
        ) from None
    except UnicodeDecodeError:
        raise _unreadable(path, "it is not text") from None
    if text[:1] != [_HEAD] or len(text) < 3:
        raise _unreadable(path, f"its first line is not '{_HEAD}'")
    head = 4 if text[3:4] and text[3].startswith(_DECISIONS) else 3
    name, recipe_digest = _split_name(text[2].removeprefix("# recipe "))
    body = []
    for number, line in enumerate(text[head:], start=head + 1):
        try:
            fields = _split(line)
        except json.JSONDecodeError:
            raise _unreadable(path, f"line {number} has a text whose quotes do not match") from None
        if len(fields) != len(Line.__slots__):
            raise _unreadable(path, f"line {number} does not have {len(Line.__slots__)} fields")
        body.append(Line(**dict(zip(Line.__slots__, fields, strict=True))))
    return Saved(
        model_digest=text[1].removeprefix("# model "),
        recipe=name,
        recipe_digest=recipe_digest,
        digest="".join(text[3:head]).removeprefix(_DECISIONS),
        lines=tuple(line for line in body if not improvable_lines.is_one(line)),
        improvable=tuple(filter(improvable_lines.is_one, body)),
    )


def _split(line: str) -> list[str]:
    return [json.loads(f) if f.startswith('"') else f for f in _FIELD.findall(line)]


def _unreadable(path: Path, reason: str) -> OnnxqError:
    fix = "save it again with 'onnxq plan MODEL --rules FILE -o PLAN'"
    return error("OQ212", f"'{path}' is not a plan: {reason}", fix=fix)


def load(path: Path, graph: Graph) -> Plan:
    """Read a saved plan for this model (OQ212)."""
    saved = read(path)
    if saved.model_digest != graph.digest:
        raise error(
            "OQ212",
            f"the plan '{path}' was made for another model",
            fix="make it again for this one with 'onnxq plan'",
        )
    of_ops = [line for line in saved.lines if line.input == WHOLE_OP]
    of_ties = [line for line in of_ops if line.descriptor.startswith(TIE)]
    of_inputs = [line for line in saved.lines if line.input != WHOLE_OP]
    decisions = tuple(_decision(path, graph, line) for line in of_inputs)
    if len({d.edge for d in decisions}) < len(decisions):
        raise _unreadable(path, "it decides an input twice")
    if len({line.node for line in saved.improvable}) < len(saved.improvable):
        raise _unreadable(path, "it says twice what may improve an op")
    groups = _groups(path, of_inputs, of_ties, decisions)
    pairs, problems = fold(graph, decisions, groups)
    if errors := [p for p in problems if p.severity is Severity.ERROR]:
        raise OnnxqError(*errors)
    return Plan(
        model_digest=graph.digest,
        recipe=saved.recipe,
        recipe_digest=saved.recipe_digest,
        files=(path,),
        edited=saved.edited,
        decisions=decisions,
        pairs=pairs,
        groups=groups,
        kept=tuple(_kept(path, graph, line) for line in of_ops if line not in of_ties),
        improvable=tuple(_improvable(path, graph, line) for line in saved.improvable),
        unmatched=(),
        diagnostics=tuple(problems),
        graph=graph,
    )


def _kept(path: Path, graph: Graph, line: Line) -> Kept:
    if line.node not in graph.by_name:
        raise _unreadable(path, f"the model has no node '{line.node}'")
    choice = next((c for c in get_args(FloatChoice) if c == line.descriptor), None)
    if choice is None:
        choices = "', '".join(get_args(FloatChoice))
        raise _unreadable(path, f"an op is one of '{choices}', not '{line.descriptor}'")
    return Kept(
        node=line.node,
        choice=choice,
        because=_because(path, line),
        overrides=(),
    )


def _improvable(path: Path, graph: Graph, line: Line) -> Improvable:
    if line.node not in graph.by_name:
        raise _unreadable(path, f"the model has no node '{line.node}'")
    op = improvable_lines.read(line, _because(path, line))
    if isinstance(op, str):
        raise _unreadable(path, op)
    return op


def _because(path: Path, line: Line) -> Because:
    where = _WHERE.fullmatch(line.where)
    if where is None:
        raise _unreadable(path, f"'{line.where}' cannot be read")
    line_number, rule_path = int(where[2] or 0), where[3] or ""
    column = 1 if line_number else 0
    span = Span(file=where[1], line=line_number, column=column, path=rule_path)
    return Because(rule=line.rule, why="", span=span, node=line.node)


def _decision(path: Path, graph: Graph, line: Line) -> Decision:
    place = _PLACE.fullmatch(line.input)
    if place is None:
        raise _unreadable(path, f"'{line.input}' cannot be read")
    slot, node = int(place[1]), graph.by_name.get(line.node)
    if node is None or slot >= len(node.inputs) or node.inputs[slot] != line.tensor:
        raise _unreadable(
            path, f"the model has no '{line.tensor}' at {line.input} of '{line.node}'"
        )
    try:
        descriptor = None if line.descriptor == FLOAT else QuantDescriptor.parse(line.descriptor)
    except ValueError as reason:
        raise _unreadable(path, str(reason)) from None
    return Decision(
        tensor=line.tensor,
        edge=Edge(node=line.node, slot=slot),
        kind="weight" if graph.is_constant(line.tensor) else "activation",
        descriptor=descriptor,
        because=_because(path, line),
        overrides=(),
    )


def _groups(
    path: Path, lines: Iterable[Line], of_ties: Iterable[Line], decisions: Iterable[Decision]
) -> tuple[Group, ...]:
    """The groups by their labels, with the ties that the lines of whole ops have.

    What a label adds, as in plans of an older onnxq, is tied without a limit; tensors whose label
    was changed are tied no more.
    """
    members: dict[str, dict[str, Because]] = {}
    labels: dict[str, str] = {}
    for line, decision in zip(lines, decisions, strict=True):
        if line.descriptor != FLOAT:
            labels[line.tensor] = line.group
        if line.group != NO_GROUP:
            members.setdefault(line.group, {})[line.tensor] = decision.because
    ties: dict[str, list[Tie]] = {label: [] for label in members}
    for line in of_ties:
        tie = _tie(path, line)
        tensors = tuple(t for t in tie.tensors if labels.get(t, line.group) == line.group)
        ties.setdefault(line.group, []).append(replace(tie, tensors=tensors))
    for label, tensors_of in members.items():
        tied = [tensor for tie in ties[label] for tensor in tie.tensors]
        if added := tuple(tensor for tensor in tensors_of if tensor not in tied):
            because = tensors_of[added[0]]
            ties[label].append(Tie(tensors=(*tied[:1], *added), within=None, because=because))
    return joined(tie for of_group in ties.values() for tie in of_group)


def _tie(path: Path, line: Line) -> Tie:
    form = _TIE.fullmatch(line.descriptor)
    try:
        is_json = line.tensor.startswith("[")
        tensors = tuple(json.loads(line.tensor) if is_json else line.tensor.split(","))
        within = float(form[1]) if form and form[1] else None
    except ValueError:
        tensors, within, form = (), None, None
    is_limit = within is None or within >= 1
    if (
        form is None
        or not is_limit
        or line.group == NO_GROUP
        or not all(isinstance(t, str) for t in tensors)
    ):
        raise _unreadable(path, f"the tie at '{line.node}' cannot be read")
    return Tie(tensors=tensors, within=within, because=_because(path, line))
