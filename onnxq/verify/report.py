"""Verify: three independent answers on a Q/DQ model, in one report."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import onnx

from onnxq import model as models
from onnxq.diagnostics import Diagnostic, OnnxqError, warning
from onnxq.lint import lint
from onnxq.provenance import metadata_of
from onnxq.verify import tensorrt
from onnxq.verify.numeric import NumericReport, Progress, Sample, compare, require_same_ports
from onnxq.verify.tensorrt import CompiledReport

Backend = Literal["auto", "tensorrt-rtx", "onnxruntime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What lint, onnxruntime and a TensorRT compiler say of one Q/DQ model.

    `numeric` is None without samples, or when a model does not run: then `why_not_numeric` says so.
    `compiled` is None when no compiler was asked for, or when there is none or it failed:
    then `why_not_compiled` says so, as a warning in the first case and an error in the second.
    `made_by` is what onnxq recorded in the model (`provenance.provenance`); other tools do not.
    """

    lint: tuple[Diagnostic, ...]
    made_by: Mapping[str, str] = field(default_factory=dict)
    numeric: NumericReport | None = None
    why_not_numeric: Diagnostic | None = None
    compiled: CompiledReport | None = None
    why_not_compiled: Diagnostic | None = None

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything found: by lint, then what kept the other two from answering."""
        others = (self.why_not_numeric, self.why_not_compiled)
        return (*self.lint, *(d for d in others if d is not None))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON takes it: infinities are "inf" and "-inf", missing figures null."""
        compiled = _plain(self.compiled)
        if self.compiled is not None:
            compiled["int8"] = self.compiled.int8
            compiled["int8_macs"] = self.compiled.int8_macs
            compiled["counts"] = {
                op: {"int8": int8, "total": total}
                for op, (int8, total) in self.compiled.counts.items()
            }
        numeric = _plain(self.numeric)
        if self.numeric is not None:
            numeric["sqnr_db"] = _plain(self.numeric.sqnr_db)
        return {
            "made_by": dict(self.made_by),
            "lint": _plain(self.lint),
            "numeric": numeric,
            "why_not_numeric": _plain(self.why_not_numeric),
            "compiled": compiled,
            "why_not_compiled": _plain(self.why_not_compiled),
        }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return str(value) if isinstance(value, str) else value


def verify(
    float_path: str | Path,
    qdq_path: str | Path,
    feed: Iterable[Sample] | None,
    *,
    backend: Backend = "auto",
    shapes: Mapping[str, Sequence[int]] | None = None,
    targets: Sequence[tuple[int, int]] | None = None,
    timeout: float = tensorrt.TIMEOUT,
    progress: Progress | None = None,
) -> VerifyReport:
    """Lint the Q/DQ model, compare it with the float model on `feed`, and compile it.

    `backend` "auto" compiles where TensorRT-RTX is installed, "onnxruntime" never does, and
    "tensorrt-rtx" demands it (BackendMissingError, before anything runs). Inputs with dynamic
    dimensions take their shape from `shapes`, else from the first sample. `timeout`, in seconds,
    is the compiler's. A model that cannot be read (OQ301, OQ302), models that do not belong
    together (OQ603) and unusable samples (OQ401, OQ404) raise; what a backend says is reported.
    """
    if backend == "tensorrt-rtx":
        tensorrt.require()
    float_model, qdq_model = models.load(float_path), models.load(qdq_path)
    if feed is None:
        require_same_ports(float_model, qdq_model)  # else `compare` does
    linted = lint(qdq_model)
    first, samples = _first(feed)
    numeric, why_not_numeric = None, None
    if samples is not None:
        # Nodes that share a name are no fault of the Q/DQ model, and onnxruntime refuses them.
        named = models.name_nodes(float_model)
        numeric, why_not_numeric = _compare(named, qdq_path, samples, progress)
    compiled, why_not_compiled = None, None
    if backend != "onnxruntime":
        shapes = {n: a.shape for n, a in first.items()} | dict(shapes or {})
        compiled, why_not_compiled = _compile(
            qdq_path, shapes=shapes, targets=targets, timeout=timeout
        )
    return VerifyReport(
        lint=linted,
        made_by=metadata_of(qdq_model),
        numeric=numeric,
        why_not_numeric=why_not_numeric,
        compiled=compiled,
        why_not_compiled=why_not_compiled,
    )


def _first(feed: Iterable[Sample] | None) -> tuple[Sample, Iterator[Sample] | None]:
    if feed is None:
        return {}, None
    samples = iter(feed)
    first = next(samples, None)
    return ({}, samples) if first is None else (first, itertools.chain((first,), samples))


def _compare(
    float_model: onnx.ModelProto,
    qdq_path: str | Path,
    samples: Iterable[Sample],
    progress: Progress | None,
) -> tuple[NumericReport | None, Diagnostic | None]:
    try:
        return compare(float_model, qdq_path, samples, progress=progress), None
    except OnnxqError as failed:
        if failed.diagnostics[0].code != "OQ305":
            raise
        return None, failed.diagnostics[0]


def _compile(
    qdq_path: str | Path, **options: Any
) -> tuple[CompiledReport | None, Diagnostic | None]:
    if tensorrt.available() is None:
        return None, warning(
            "OQ601",
            "TensorRT-RTX is not installed, so the model was not compiled",
            fix=tensorrt.INSTALL,
        )
    try:
        return tensorrt.compile_report(qdq_path, **options), None
    except OnnxqError as failed:
        return None, failed.diagnostics[0]
