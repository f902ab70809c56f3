"""Models with ops that the compiler has only with a plugin: what is built of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import onnx

from onnxq.diagnostics import Diagnostic, error, warning
from onnxq.linting import QdqModel
from onnxq.model.compiler_ops import is_imported
from onnxq.model.cutting import Culprit, Cut, cut
from onnxq.verification.compiled import CompiledOp

_NAMES: Final[Mapping[str, str]] = {"tensorrt-rtx": "TensorRT-RTX", "tensorrt": "TensorRT"}


def libraries(paths: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    """Paths of libraries of plugins (OQ605 for one that is not a file)."""
    paths = [paths] if isinstance(paths, str | Path) else paths
    for path in paths:
        if not Path(path).is_file():
            message = f"the plugin library '{path}' is not a file"
            raise error("OQ605", message, fix="correct the path of --plugin")
    return tuple(dict.fromkeys(map(str, paths)))


def part_without(model: onnx.ModelProto, unknown: Collection[str]) -> Cut:
    """The part of a model without some ops, and all that they feed (OQ607 for none)."""
    part = cut(model, lambda node: node.op_type in unknown and not is_imported(node))
    if part is None or not part.model.graph.output:
        raise error(
            "OQ607",
            f"nothing of the model is in front of {', '.join(sorted(unknown))}, which the compiler "
            "does not know",
            fix="give the library that has the plugin with --plugin LIB.so, and a compiler that "
            "takes plugins: --backend tensorrt",
        )
    return part


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Built:
    """The builder's `result` for `model`, which is a `part` of the whole where ops were unknown."""

    result: Mapping[str, Any]
    model: QdqModel
    compiler: str
    part: Cut | None = None
    takes_plugins: bool = True

    @property
    def culprits(self) -> tuple[Culprit, ...]:
        """The nodes in front of which the engine ends."""
        return () if self.part is None else self.part.culprits

    def marked(self, ops: Sequence[CompiledOp]) -> tuple[CompiledOp, ...]:
        """The ops of the whole model; those that were not compiled say so."""
        behind = {} if self.part is None else self.part.nodes
        return tuple(
            replace(
                op, precision="unknown", dtype="", reason=f"not compiled: behind {behind[op.node]}"
            )
            if op.node in behind
            else op
            for op in ops
        )

    def notes(self) -> Iterator[Diagnostic]:
        """Say which libraries are not loaded (OQ605), and what was not compiled (OQ607)."""
        name = _NAMES[self.compiler]
        for path, why in self.result["problems"].items():
            yield Diagnostic(
                code="OQ605",
                message=f"{name} cannot load the plugin library '{path}': {why}",
                fix=f"give one that was built for this {name} and this system, with all that it "
                "links to",
            )
        if self.part is not None:
            yield self._cut_note(name, self.part)

    def _cut_note(self, name: str, part: Cut) -> Diagnostic:
        ops = ", ".join(map(str, part.culprits))
        why = "has no such op" if self.takes_plugins else "has no such op and takes no plugins"
        tensors = dict.fromkeys(t for names in part.stand_ins.values() for t in names)
        ends = ", ".join(f"'{tensor}'" for tensor in tensors)
        fix = "give the library that has the plugin with --plugin LIB.so"
        if not self.takes_plugins:
            fix = "compile it whole where there is a GPU: --backend tensorrt, with --plugin LIB.so "
            fix += "for plugins that are not TensorRT's own"
        return warning(
            "OQ607",
            f"compiled without {ops}: {name} {why}, so the engine ends in front of it, at "
            f"{ends or 'its other outputs'}",
            fix=fix,
        )
