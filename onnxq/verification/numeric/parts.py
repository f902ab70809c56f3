"""Parts of an output, such as its scores: channels that the user names, to be compared apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import EllipsisType
from typing import Final

import numpy as np

from onnxq.diagnostics import OnnxqError, did_you_mean, error
from onnxq.model.graph import Graph

PartsLike = Mapping[str, str] | Iterable[str]
Index = tuple[slice | int | EllipsisType, ...]

_TEXT: Final = re.compile(r"(?P<output>.+?)\[(?P<index>[^\[\]]+)\]")
_ITEM: Final = re.compile(r"(-?\d+)|\.\.\.|(-?\d+)?:(-?\d+)?(?::(-?\d+)?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some values of an output, under a name of the user or, such as 'output0[:,4:]', its own.

    `where` is the index as written, '[:,4:]'; '' is all that no other part has.
    """

    name: str
    output: str
    where: str

    @property
    def index(self) -> Index:
        """The index that numpy takes."""
        return tuple(_item(text) for text in self.where[1:-1].split(","))


def parse_parts(parts: PartsLike | None, graph: Graph) -> tuple[Part, ...]:
    """Parts by name, {'scores': 'output0[:,4:]'}, or texts such as 'scores=output0[:,4:]'.

    Raises OQ680 for a text that is none, and for a part that the model cannot have.
    """
    if parts is None:
        return ()
    if isinstance(parts, Mapping):
        named = list(parts.items())
    else:
        texts = [(text, text.partition("=")) for text in parts]
        for text, (name, _, place) in texts:
            if not (name and place):
                raise _wrong(text, "it is not NAME=OUTPUT[INDEX]")
        named = [(name, place) for _, (name, _, place) in texts]
    result = tuple(_part(name.strip(), place.strip(), graph) for name, place in named)
    names = [part.name for part in result]
    for part in result:
        if part.name in graph.outputs or names.count(part.name) > 1:
            what = "an output" if part.name in graph.outputs else "another part"
            raise error(
                "OQ680", f"--part '{part.name}' has the name of {what}", fix="choose another name"
            )
    return result


def _part(name: str, place: str, graph: Graph) -> Part:
    text = f"{name}={place}"
    matched = _TEXT.fullmatch(place)
    if matched is None:
        raise _wrong(text, "it is not NAME=OUTPUT[INDEX]")
    output, items = matched["output"], [i.strip() for i in matched["index"].split(",")]
    if output not in graph.outputs:
        raise error(
            "OQ680",
            f"--part '{text}' names '{output}', which is not an output",
            fix=did_you_mean(output, graph.outputs),
        )
    if not all(_ITEM.fullmatch(i) for i in items) or items.count("...") > 1:
        raise _wrong(text, f"'[{matched['index']}]' is not an index of numpy")
    part = Part(name=name, output=output, where=f"[{','.join(items)}]")
    _require_values(part, graph)
    return part


def _require_values(part: Part, graph: Graph) -> None:
    """Raise OQ680 for an index that takes nothing of an output whose shape is known."""
    shape = graph.type(part.output).shape
    if shape is None:
        return
    known = tuple(d if isinstance(d, int) and d > 0 else 1 << 20 for d in shape)
    try:
        some = np.broadcast_to(np.int8(0), known)[part.index].size
    except (IndexError, ValueError):
        some = 0
    if not some:
        sizes = "x".join("?" if d is None else str(d) for d in shape)
        what = f"'{part.output}' of shape {sizes or 'scalar'} has no values there"
        raise _wrong(f"{part.name}={part.output}{part.where}", what)


def _wrong(text: str, why: str) -> OnnxqError:
    return error(
        "OQ680",
        f"--part '{text}' is not a part: {why}",
        fix="write --part scores=output0[:,4:], with an index as in numpy",
    )


def _item(text: str) -> slice | int | EllipsisType:
    if text == "...":
        return ...
    if ":" not in text:
        return int(text)
    return slice(*(int(number) if number else None for number in text.split(":")))
