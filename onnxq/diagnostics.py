"""Every message onnxq can give: coded, located where possible, and ending in what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Severity(StrEnum):
    """How much a diagnostic matters."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A place in a text file: one-based line and column, and the line itself."""

    file: str
    line: int
    column: int
    source: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding: what is wrong (`message`) and what to do about it (`fix`)."""

    code: str
    message: str
    fix: str
    severity: Severity = Severity.ERROR
    span: Span | None = None

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise AssertionError(f"diagnostic code {self.code} is not in the table")

    def __str__(self) -> str:
        where = f"{self.span}: " if self.span else ""
        return f"{where}{self.severity}[{self.code}]: {self.message}; {self.fix}"


class OnnxqError(Exception):
    """The input cannot be used. Holds every diagnostic found, most of them errors."""

    exit_code = 2

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("\n".join(str(d) for d in diagnostics))
        self.diagnostics = diagnostics


class BackendMissingError(OnnxqError):
    """A backend that was asked for by name is not installed."""

    exit_code = 3


def error(code: str, message: str, *, fix: str, span: Span | None = None) -> OnnxqError:
    """Build (not raise) an error that holds one diagnostic."""
    return OnnxqError(Diagnostic(code=code, message=message, fix=fix, span=span))


def warning(code: str, message: str, *, fix: str, span: Span | None = None) -> Diagnostic:
    """Build a warning."""
    return Diagnostic(code=code, message=message, fix=fix, severity=Severity.WARNING, span=span)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for the nearest known word, else the list of known words."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"one of: {', '.join(choices)}"


CODES: Final[dict[str, str]] = {
    # OQ1xx: the rule file
    "OQ101": "The recipe does not exist, neither as a file nor among the shipped ones.",
    "OQ102": "The recipe is not valid YAML, or uses a YAML feature that recipes may not use.",
    "OQ103": "A key in the recipe is unknown.",
    "OQ104": "A value in the recipe has the wrong type or is out of range.",
    "OQ105": "A pattern cannot be read.",
    "OQ106": "A descriptor is used but not defined.",
    "OQ107": "Recipes extend each other in a circle.",
    "OQ108": "Two rules of one file have the same id.",
    "OQ109": "An action names a port that its match cannot give.",
    # OQ2xx: rules against the model
    "OQ201": "A rule matched nothing in this model.",
    "OQ202": "A pattern binds in more than one way at a node; the rule was not applied there.",
    "OQ203": "Pairs that must share one scale have different descriptors, or one is a weight's.",
    "OQ204": "A per-channel pair was asked for an activation; TensorRT would run it in float.",
    "OQ205": "The rules quantize nothing in this model.",
    "OQ206": "The channel axis of a weight is not known or not in range.",
    "OQ207": "A rule names an input or output that the matched node does not have.",
    "OQ208": "A weight's range is read by a method that is not for weights.",
    "OQ209": "One rule decides an input twice.",
    "OQ210": "Everything that a rule decides is overridden by later rules.",
    "OQ211": "A rule quantizes an input that an earlier rule skipped.",
    "OQ212": "A saved plan cannot be read, or does not belong to this model.",
    "OQ213": "A rule quantizes a tensor that is not float32.",
    "OQ214": "There is nothing of this name to explain.",
    "OQ215": "The plan differs from the saved one.",
    # OQ3xx: the model
    "OQ301": "The model file does not exist or cannot be read.",
    "OQ302": "The file is not an ONNX model.",
    "OQ303": "The model is quantized already.",
    "OQ304": "The model's opset cannot be raised to one that has per-channel Q/DQ.",
    "OQ305": "onnxruntime cannot load or run the model.",
    # OQ4xx: data, calibration and scales
    "OQ401": "The data does not exist or holds nothing that can be read.",
    "OQ402": "One file of the data cannot be read; it was left out.",
    "OQ403": "The data's input names do not match the model's.",
    "OQ404": "An array's shape or type does not fit the model's input.",
    "OQ405": "An input shape must be given with --shape.",
    "OQ406": "The preprocessing does not exist or is not valid.",
    "OQ410": "There is no calibration to use, or more than one.",
    "OQ411": "The calibration was made from another model.",
    "OQ412": "The calibration file is damaged or of another version.",
    "OQ413": "A tensor that the rules quantize was never observed.",
    "OQ414": "A tensor was all zero; its scale is set to 1.",
    "OQ415": "A tensor had NaN or infinite values; they were left out of its range.",
    "OQ416": "The statistics of a tensor have no histogram, which the method needs.",
    "OQ417": "A weight has NaN or infinite values.",
    "OQ418": "Two calibrations cannot be added: they come from different models or calibrators.",
    # OQ5xx: insert
    "OQ501": "The output cannot be written.",
    "OQ502": "The output would overwrite the input model.",
    # OQ6xx: verify
    "OQ601": "The backend is not installed.",
    "OQ602": "The compiler rejected the model or failed.",
    "OQ603": "The two models do not have the same inputs and outputs.",
    "OQ604": "A check's threshold was not met.",
    "OQ610": "A zero point is missing, not zero, or not int8; TensorRT needs int8 zeros.",
    "OQ611": "A scale is not a positive, finite, normal number, or is computed at run time.",
    "OQ612": "A per-tensor scale is not a scalar; TensorRT may reject it or run float.",
    "OQ613": "A per-channel scale has the wrong axis or size; TensorRT would silently run float.",
    "OQ614": "An activation is quantized per channel; TensorRT would silently run float.",
    "OQ615": "The scales of a Q/DQ pair differ.",
    "OQ616": "A bias is quantized; TensorRT needs a float bias.",
    "OQ617": "Only one of activation and weight is quantized; TensorRT would run the op in float.",
    "OQ618": "A quantized constant does not feed a DequantizeLinear.",
    "OQ619": "Nodes have no name or share one; TensorRT would merge them in its reports.",
    "OQ620": "The opset is too old for this Q/DQ.",
}
