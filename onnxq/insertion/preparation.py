"""Does a model compute the same once it is prepared? Both are run on one random sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import onnx

from onnxq.diagnostics import Diagnostic, OnnxqError, counted, warning
from onnxq.feeds.random_data import open_random
from onnxq.feeds.samples import input_specs
from onnxq.formats import FORMATS
from onnxq.model.graph import Graph
from onnxq.model.io import name_nodes, opset
from onnxq.sessions import open_session, run


def _brings(version: int) -> str:
    """What onnxq raises an opset for."""
    return {FORMATS["fp8e4m3"].opset: "FP8", FORMATS["int4"].opset: "INT4"}.get(
        version, "per-channel Q/DQ"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What preparing a model changed, and what that did to the outputs; `why` they are unchecked.

    `before` and `after` are opsets, equal when it was not raised for `purpose`; `functions` is how
    many local functions were inlined.
    """

    before: int
    after: int
    functions: int = 0
    outputs: Literal["same", "changed", "unchecked"]
    why: str = ""
    purpose: str = ""

    def __str__(self) -> str:
        told = "outputs are the same"
        if self.outputs == "changed":
            told = "outputs changed"
        elif self.outputs == "unchecked":
            told = f"not checked, because {self.why}"
        return f"{', '.join(self._changes())}: {told}"

    def _changes(self) -> Iterator[str]:
        if self.before != self.after:
            purpose = self.purpose or _brings(self.after)
            yield f"opset {self.before} raised to {self.after}, for {purpose}"
        if self.functions:
            yield f"{counted(self.functions, 'local function')} inlined"

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """OQ535 when outputs changed."""
        if self.outputs != "changed":
            return ()
        if self.before == self.after:
            told = f"inlining {counted(self.functions, 'local function')} changed the outputs"
            fix = "export the model again without local functions"
            return (warning("OQ535", told, fix=fix),)
        told = f"raising the opset from {self.before} to {self.after} changed the outputs"
        fix = f"export the model again with opset {self.after} or newer"
        return (warning("OQ535", told, fix=fix),)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare_raised(
    original: onnx.ModelProto,
    raised: onnx.ModelProto,
    shapes: Mapping[str, Sequence[int]],
    *,
    purpose: str = "",
) -> Preparation | None:
    """Compare the outputs of a model and of what `model.raised` made of it, bit for bit.

    None when the opset is as it was and no function was inlined. onnxruntime runs both with
    optimizations off; `shapes` are those of inputs that the model leaves open. The original gets
    node names.
    """
    change = partial(
        Preparation,
        before=opset(original),
        after=opset(raised),
        functions=len(original.functions) - len(raised.functions),
        purpose=purpose,
    )
    if opset(original) == opset(raised) and len(original.functions) == len(raised.functions):
        return None
    names = [o.name for o in original.graph.output]
    try:
        specs = input_specs(Graph(raised, shapes=shapes), shapes)
        sample = open_random(specs, seed=0, samples=1).reader()(0)
        found = []
        for model in (name_nodes(original), raised):
            values = run(open_session(model, as_written=True), names, sample)
            found.append([values[name] for name in names])
    except OnnxqError as reason:
        why = reason.diagnostics[0].message
        return change(outputs="unchecked", why=why)
    same = all(map(_equal, *found))
    return change(outputs="same" if same else "changed")


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind == "f"))
