"""Verification reports as text: the worst first, and long lists cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Final

from rich.console import Console
from rich.text import Text

from onnxq.diagnostics import Severity, counted
from onnxq.insertion.provenance import recipe_name
from onnxq.render.agreement import detection_lines, row_lines
from onnxq.render.costs import cost
from onnxq.render.runs import runs
from onnxq.render.side_by_side import part_name, side_by_side, types_of
from onnxq.render.tables import table
from onnxq.render.tensors import tensor_lines
from onnxq.render.text import cut, figure, one_line, share
from onnxq.verification import (
    TYPICAL,
    Accuracy,
    Comparison,
    CompiledReport,
    Conversions,
    DataUse,
    ModelReport,
    NumericReport,
    OutputKind,
    VerifyReport,
    targets,
)

_KINDS: Final[Mapping[OutputKind, str]] = {
    "logits": "logits, probabilities and embeddings",
    "scores": "scores",
    "boxes": "boxes",
    "hidden state": "hidden states",
    "other": "other outputs",
}


def verify_report(console: Console, report: VerifyReport, *, everything: bool = False) -> None:
    """Print the results of lint, onnxruntime and the compiler, without diagnostics.

    One model is printed in full, several side by side. With `everything` no list is cut.
    """
    if len(report.models) == 1:
        _model(console, report.models[0], data_use(report), everything=everything)
        runs(console, report)
        return
    side_by_side(console, report)
    runs(console, report)
    for line in data_use(report):
        console.print(line)
    for model in report.models:
        if model.numeric is not None and model.numeric.tensors:
            console.print(f"\n{model.model}")
            tensor_lines(console, model.numeric, everything=everything)
        if model.cost is not None:
            console.print(f"\n{model.model}")
            cost(console, model.cost, everything=everything)


def _model(console: Console, model: ModelReport, used: Sequence[str], *, everything: bool) -> None:
    if made_by := model.made_by:
        console.print(f"made by onnxq {made_by.get('version', '')}, recipe {recipe_of(made_by)}")
    if model.float_ops.keys() - {"fp32"}:
        types = (f"{n} in {name}" for name, n in sorted(model.float_ops.items()))
        console.print(f"float ops: {', '.join(types)}")
    count = Counter(d.severity for d in model.lint)
    notes = f", {counted(count[Severity.INFO], 'note')}" if count[Severity.INFO] else ""
    errors, warnings = count[Severity.ERROR], count[Severity.WARNING]
    console.print(f"lint: {counted(errors, 'error')}, {counted(warnings, 'warning')}{notes}")
    if model.numeric is not None:
        _numeric(console, model.numeric, used)
        if model.numeric.tensors:
            tensor_lines(console, model.numeric, everything=everything)
        elif model.numeric.accuracy is None:
            _advise(console, model.numeric)
    elif model.why_not_numeric is None:
        console.print("numeric: not run, there is no --data")
    if model.compiled is not None:
        _compiled(console, model.compiled, everything=everything)
    if model.cost is not None:
        cost(console, model.cost, everything=everything)


def recipe_of(made_by: Mapping[str, str]) -> str:
    """The recipe in the metadata of a model, and whether its plan or scales were edited by hand."""
    name = recipe_name(made_by)
    plan = f", its plan edited {made_by['edited']}" if "edited" in made_by else ""
    scales = f", scales {made_by['scales'].partition(':')[0]}" if "scales" in made_by else ""
    return f"{name}{plan}{scales}"


def data_use(report: VerifyReport) -> tuple[str, ...]:
    """Lines on the samples compared and the pairs of the float model; none without samples."""
    if report.data is None:
        return ()
    if not report.float_pairs:
        return (_use(report.data),)
    pairs = f"{one_line(report.float_model)} has {counted(report.float_pairs, 'pair')} itself"
    return _use(report.data), f"{pairs}: the figures show only what other pairs change"


def _use(data: DataUse) -> str:
    """Whether the samples were used for calibration."""
    if data.used is None:
        return f"{_samples(data)}; whether they were used for calibration is not known"
    if data.used:
        how_many = "all" if data.used == data.compared else f"{data.used:,}"
        return f"{_samples(data)}, {how_many} used for calibration: the figures are optimistic"
    left_out = f"; {data.left_out:,} used ones are left out" if data.left_out else ""
    return f"{_samples(data)}, none used for calibration{left_out}"


def _samples(data: DataUse) -> str:
    return counted(data.compared, "sample")


def _numeric(console: Console, numeric: NumericReport, used: Sequence[str]) -> None:
    console.print("numeric: FP32 against Q/DQ in onnxruntime")
    for line in used:
        console.print(f"  {line}")
    floats = [o for o in numeric.outputs if o.is_float]
    if floats:
        _outputs(console, floats)
    for o in (c for output in numeric.outputs for c in (output, *output.parts)):
        if not o.is_float and o.equal is not None:
            console.print(f"  {one_line(o.name)}: {o.dtype}, {o.equal:.1%} of the values are equal")
        if o.problem:
            console.print(Text(f"  {one_line(o.name)}: {o.problem}", "yellow"))
    for output, tensors in numeric.stand_ins.items():
        if tensors:
            console.print(f"  in place of {one_line(output)}: {', '.join(map(one_line, tensors))}")
    for line in (*(f"  {line}" for line in row_lines(numeric)), *detection_lines(numeric)):
        console.print(line)
    if numeric.accuracy is not None:
        _accuracy(console, numeric.accuracy)


def _advise(console: Console, numeric: NumericReport) -> None:
    """Say what is typical of outputs of a kind, where an output has no more than that."""
    judged = [(c, o) for o in numeric.outputs for c in o.judged if c.sqnr_db is not None]
    lowest = {c.kind: (c, o) for c, o in sorted(judged, key=_sqnr, reverse=True)}
    for kind, (comparison, output) in lowest.items():
        usual, sqnr = TYPICAL[kind], comparison.sqnr_db or 0.0
        is_answered = numeric.detections is not None and kind in ("scores", "boxes")
        if sqnr >= usual.high or is_answered:
            continue
        name = one_line(output.name if comparison is output else part_name(comparison))
        more = f"; {usual.decides}"
        if sqnr < usual.low:
            more = f"{more}; 'onnxq verify --tensors' shows which layers lose accuracy"
        text = f"  {name}: {_KINDS[kind]} in int8 have typically {usual.low:g} to {usual.high:g} dB"
        console.print(Text(f"{text}{more}", "yellow" if sqnr < usual.low else ""))


def _sqnr(judged: tuple[Comparison, Comparison]) -> float:
    return judged[0].sqnr_db or 0.0


def _outputs(console: Console, outputs: Sequence[Comparison]) -> None:
    """Print a row for each output, the worst first, and under it one for each of its parts."""
    rows = [
        (
            Text(one_line(o.name) if not depth else f"  {part_name(o)}"),
            figure(o.sqnr_db, ".2f"),
            figure(o.cosine, ".6f"),
            figure(o.max_abs_error),
            figure(o.mean_abs_error),
            figure(o.worst_sqnr_db, ".2f"),
            Text(one_line(PurePath(o.worst_sample or "-").name)),
        )
        for output in sorted(outputs, key=_worst)
        for depth, some in enumerate(((output,), output.parts))
        for o in some
    ]
    errors = ("max error", "mean error")
    columns = ("output", "SQNR dB", "cosine", *errors, "worst dB", "in sample")
    drop = (*errors, "in sample", "cosine")
    table(console, columns, rows, drop=drop, texts=("in sample",), names=0.4)


def _worst(output: Comparison) -> float:
    return min(float("-inf") if o.sqnr_db is None else o.sqnr_db for o in output.judged)


def _accuracy(console: Console, accuracy: Accuracy) -> None:
    unlabelled = f", {accuracy.unlabelled:,} without a label" if accuracy.unlabelled else ""
    console.print(f"accuracy: {counted(accuracy.labelled, 'labelled sample')}{unlabelled}")
    rows = [("top-1", f"{accuracy.float_top1:.1%}", f"{accuracy.top1:.1%}")]
    if accuracy.top5 is not None:
        rows.append(("top-5", figure(accuracy.float_top5, ".1%"), figure(accuracy.top5, ".1%")))
    table(console, ("", "FP32", "Q/DQ"), rows)
    console.print(
        f"same first class: {accuracy.agreement:.1%}; {accuracy.changed:,} changed, "
        f"{accuracy.lost:,} right only in FP32, {accuracy.gained:,} right only in Q/DQ"
    )


def _compiled(console: Console, compiled: CompiledReport, *, everything: bool) -> None:
    asked = ", ".join(map(targets.name, compiled.targets))
    built_for = f" for {asked}" if asked else ""
    compiler = f"{compiled.backend} {compiled.version}{built_for}"
    console.print(f"compiled: {compiler}, data types of the built engine")
    if compiled.without:
        console.print(f"  without {', '.join(map(one_line, compiled.without))}, and what is behind")
    types = types_of([compiled])
    rows = [
        (kind, *(str(getattr(count, t)) for t in types), str(count.total))
        for kind, count in compiled.counts.items()
    ]
    table(console, ("op", *types, "of"), rows)
    others = [op for op in compiled.ops if op.precision not in types]
    others.sort(key=lambda op: -(op.macs or 0))
    kept, more = cut(others, everything=everything)
    for op in kept:
        text = op.dtype or op.precision
        console.print(f"  {text}: {op.op} '{op.node}': {op.reason}")
    if more:
        console.print(f"  {more}")
    console.print(f"MACs {_shares(compiled)}, engine {sizes(compiled)}")
    if compiled.engine_file:
        console.print(f"engine: {one_line(compiled.engine_file)}")
    if text := conversions(compiled.conversions):
        console.print(f"conversions: {text}")


def _shares(compiled: CompiledReport) -> str:
    """The shares of quantized types, then of the other types, largest first."""
    shares = compiled.macs
    if shares is None:
        return "in int8: not known"
    first, *more = types_of([compiled])
    others = sorted((k for k in shares if k not in (first, *more)), key=lambda k: -shares[k])
    rest = "".join(f", {k} {share(shares[k])}" for k in (*more, *others) if shares.get(k))
    return f"in {first}: {share(shares.get(first, 0))}{rest}"


def sizes(compiled: CompiledReport) -> str:
    """The size of the engine, with its ratio to the FP32 engine's if that was built."""
    size = f"{compiled.engine_bytes / 1e6:.1f} MB"
    if not compiled.fp32_engine_bytes:
        return size
    return f"{size}, {compiled.engine_bytes / compiled.fp32_engine_bytes:.0%} of the FP32 engine's"


def conversions(kernels: Conversions | None) -> str:
    """The counts that are not zero; '' if unknown."""
    if kernels is None:
        return ""
    named = (
        (kernels.requantize, "requantize"),
        (kernels.quantize, "quantize"),
        (kernels.dequantize, "dequantize"),
        (kernels.weights, "dequantize weights"),
        (kernels.reformat, "reformat"),
        (kernels.unclear, "unclear"),
    )
    return ", ".join(f"{count} {what}" for count, what in named if count)
