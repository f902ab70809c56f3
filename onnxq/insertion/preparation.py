"""Compare a model with its prepared form: both run on one random sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import onnx

from onnxq.diagnostics import Diagnostic, OnnxqError, counted, warning
from onnxq.feeds.random_data import open_random
from onnxq.feeds.samples import input_specs
from onnxq.formats import FORMATS
from onnxq.model.graph import Graph
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.model.preparing import name_nodes, opset
from onnxq.model.scopes import defined
from onnxq.runnable import runnable
from onnxq.sessions import open_session, run

_ROUNDING: Final = {2: 4e-3, 4: 1e-5, 8: 1e-13}  # by bytes of a float: some of its last steps


def _feature(version: int) -> str:
    """The feature that needs an opset."""
    features = {FORMATS["fp8e4m3"].opset: "FP8 or 16-bit scales", FORMATS["int4"].opset: "INT4"}
    return features.get(version, "per-channel Q/DQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Changes that preparing made to a model, and whether its outputs changed.

    Outputs are "rounded" where only the last bits of floats differ.
    `before` and `after` are opsets, equal when the opset was not raised for `purpose`; `functions`
    counts the local functions that were inlined; `why` is the reason for unchecked outputs. `up_to`
    names the ops that onnxruntime cannot run: what is in front of them was compared.
    """

    before: int
    after: int
    functions: int = 0
    outputs: Literal["same", "rounded", "changed", "unchecked"]
    why: str = ""
    purpose: str = ""
    up_to: str = ""

    def __str__(self) -> str:
        outcome = {
            "same": "outputs are the same",
            "rounded": "outputs are the same but for their last bits",
            "changed": "outputs changed",
            "unchecked": f"not checked, because {self.why}",
        }[self.outputs]
        part = f", in front of {self.up_to}" if self.up_to and self.outputs != "unchecked" else ""
        return f"{', '.join(self._changes())}: {outcome}{part}"

    def _changes(self) -> Iterator[str]:
        if self.before != self.after:
            purpose = self.purpose or _feature(self.after)
            lowered = f"lowered to {self.after}, the newest that TensorRT takes"
            raised = f"raised to {self.after}, for {purpose}"
            yield f"opset {self.before} {lowered if self.before > self.after else raised}"
        if self.functions:
            yield f"{counted(self.functions, 'local function')} inlined"

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """OQ535 when outputs changed."""
        if self.outputs != "changed":
            return ()
        if self.before == self.after:
            message = f"inlining {counted(self.functions, 'local function')} changed the outputs"
            fix = "export the model again without local functions"
            return (warning("OQ535", message, fix=fix),)
        lowered = self.before > self.after
        how = "lowering" if lowered else "raising"
        message = f"{how} the opset from {self.before} to {self.after} changed the outputs"
        fix = f"export the model again with opset {self.after} or {'older' if lowered else 'newer'}"
        return (warning("OQ535", message, fix=fix),)

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
    """Compare the outputs of a model and of its prepared form.

    Returns None when the opset is the same and no function was inlined. onnxruntime runs both with
    optimizations off. `shapes` are the shapes of dynamic inputs. Outputs behind ops that it cannot
    run are compared in front of these. The nodes of the original get names, in place.
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
    cuts = [(model, runnable(model)) for model in (original, raised)]
    models = [model if part is None else part.model for model, part in cuts]
    if (part := cuts[1][1]) is not None:
        change = partial(change, up_to=", ".join(map(str, part.culprits)))
    both = set(defined(models[0].graph))
    names = [o.name for o in models[1].graph.output if o.name in both]
    if not names:
        return change(outputs="unchecked", why="onnxruntime cannot run what computes the outputs")
    try:
        specs = input_specs(Graph(raised, shapes=shapes), shapes)
        sample = open_random(specs, seed=0, samples=1).reader()(0)
        outputs = []
        for model in models:
            giving = _giving(name_nodes(model), names)
            values = run(open_session(giving, as_written=True), names, sample)
            outputs.append([values[name] for name in names])
    except OnnxqError as reason:
        return change(outputs="unchecked", why=reason.diagnostics[0].message)
    if all(map(_equal, *outputs)):
        return change(outputs="same")
    return change(outputs="rounded" if all(map(_nearly_equal, *outputs)) else "changed")


def _giving(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with these values among its outputs."""
    if {o.name for o in model.graph.output}.issuperset(names):
        return model
    return with_inner_outputs(model, names)


def _equal(before: Any, after: Any) -> bool:
    if isinstance(before, list):
        return len(before) == len(after) and all(map(_equal, before, after))
    return bool(np.array_equal(before, after, equal_nan=np.asarray(before).dtype.kind == "f"))


def _nearly_equal(before: Any, after: Any) -> bool:
    """True for floats that differ by rounding alone, measured by the largest of them."""
    if isinstance(before, list):
        return len(before) == len(after) and all(map(_nearly_equal, before, after))
    if before.dtype.kind != "f" or before.shape != after.shape or before.dtype != after.dtype:
        return _equal(before, after)
    finite = np.isfinite(before)
    if not _equal(np.where(finite, 0, before), np.where(np.isfinite(after), 0, after)):
        return False
    limit = _ROUNDING.get(before.dtype.itemsize, 0.0) * np.abs(before[finite]).max(initial=0)
    return bool(np.all(np.abs(after[finite] - before[finite]) <= limit))
