"""lint and strip: Q/DQ models of any tool checked, repaired, and turned back into float models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnx import ModelProto

from onnxq import linting
from onnxq.api.inserted import QdqLike, file_of, inputs_of, model_outputs
from onnxq.diagnostics import Diagnostic, Severity, error
from onnxq.linting import Finding, Outlook, Repair
from onnxq.model import io as models
from onnxq.model import preparing
from onnxq.model import strip as stripping
from onnxq.model.io import ModelFile
from onnxq.outputs import require_writable
from onnxq.shown import Shown


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LintReport(Shown):
    """The requirements of TensorRT that a model misses, and the types in which its ops will run.

    `proto` is the model after the `repairs`, which are empty unless they were asked for. `path` is
    its file: the one that was read, or the repaired one, once it is saved.
    """

    name: str
    proto: ModelProto
    findings: tuple[Finding, ...]
    outlook: Outlook
    repairs: tuple[Repair, ...]
    source: ModelFile
    inputs: tuple[Path | None, ...] = ()
    is_repaired: bool = False
    path: Path | None = None

    @property
    def diagnostics(self) -> tuple[Finding, ...]:
        """The findings."""
        return self.findings

    @property
    def passed(self) -> bool:
        """True when no finding is an error."""
        return self.worst is not Severity.ERROR

    @property
    def worst(self) -> Severity | None:
        """The highest severity; None without findings."""
        return next((s for s in Severity if any(f.severity is s for f in self.findings)), None)

    @property
    def counts(self) -> Mapping[Severity, int]:
        """How many findings there are of each severity."""
        return {s: sum(f.severity is s for f in self.findings) for s in Severity}

    def save(self, path: str | Path) -> LintReport:
        """Write the model, with external data if it had such; OQ502 over its own files."""
        path = Path(path)
        save_model(self.proto, path, self.source, self.inputs)
        return replace(self, path=path, name=str(path))

    def to_dict(self) -> dict[str, Any]:
        """Findings, repairs, and what is expected of the engine."""
        return {
            "findings": [
                {**f.to_dict(), "effect": str(f.effect), "node": f.node} for f in self.findings
            ],
            "repairs": [
                {"code": r.code, "node": r.node, "text": r.text, "exact": r.exact}
                for r in self.repairs
            ],
            "builds": self.outlook.builds,
            "expected": [
                {"node": o.node, "op": o.op, "precision": o.precision, "reason": o.reason}
                for o in self.outlook.ops
            ],
        }


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class StripResult(Shown):
    """The float model under a Q/DQ model, and how many pairs and stored constants were undone."""

    proto: ModelProto
    pairs: int
    dequantized: int
    diagnostics: tuple[Diagnostic, ...]
    source: ModelFile
    inputs: tuple[Path | None, ...] = ()
    path: Path | None = None

    def save(self, path: str | Path) -> StripResult:
        """Write the model, with external data if it had such; OQ502 over its own files."""
        path = Path(path)
        save_model(self.proto, path, self.source, self.inputs)
        return replace(self, path=path)

    def to_dict(self) -> dict[str, Any]:
        """The counts and the diagnostics."""
        return {
            "output": None if self.path is None else str(self.path),
            "pairs": self.pairs,
            "dequantized": self.dequantized,
            "diagnostics": [d.to_dict() for d in self.diagnostics],
        }


def save_model(
    proto: ModelProto, path: Path, source: ModelFile, inputs: Sequence[Path | None]
) -> None:
    """Write a model, with external data if `source` has such, but never over `inputs`."""
    require_writable(model_outputs(path), inputs)
    models.save(proto, path, external=bool(source.data_files))


def lint(model: QdqLike, *, fix: bool = False, output: str | Path | None = None) -> LintReport:
    """Check a Q/DQ model, by any tool, against what TensorRT asks of it; needs no runtime.

    With `fix` the model of the report is repaired as far as that takes no calibration, and the
    findings are those that are left. `output` is the file for it. Raises OQ301, OQ302 and OQ639.
    """
    if output is not None and not fix:
        raise error("OQ639", "-o is given without --fix", fix="give --fix and -o FILE together")
    file = file_of(model)
    inputs = inputs_of(model, file)
    if output is not None:
        require_writable(model_outputs(Path(output)), inputs)
    proto, repairs = linting.repaired(file.proto) if fix else (file.proto, ())
    view = linting.QdqModel(proto)
    report = LintReport(
        name=file.name,
        proto=proto,
        findings=linting.lint(view),
        outlook=linting.predict(view),
        repairs=repairs,
        source=file,
        inputs=inputs,
        is_repaired=fix,
        path=None if fix else file.path,
    )
    return report if output is None else report.save(output)


def strip(model: QdqLike, *, output: str | Path | None = None) -> StripResult:
    """Remove the Q/DQ pairs of a model, by any tool; stored weights are dequantized.

    `output` is the file for the float model. Raises OQ301, OQ302, OQ530 for integer operators and
    OQ531 when there is no pair that could be removed.
    """
    file = file_of(model)
    inputs = inputs_of(model, file)
    preparing.refuse_integer_ops(file.proto, file.name)
    if output is not None:
        require_writable(model_outputs(Path(output)), inputs)
    stripped = stripping.strip(file.proto)
    if not stripped.activations and not stripped.weights:
        raise error(
            "OQ531",
            f"'{file.name}' has no Q/DQ pair that could be removed",
            fix="give the Q/DQ model; a float model needs no stripping",
        )
    result = StripResult(
        proto=stripped.model,
        pairs=stripped.activations,
        dequantized=stripped.weights,
        diagnostics=stripped.diagnostics,
        source=file,
        inputs=inputs,
    )
    return result if output is None else result.save(output)
