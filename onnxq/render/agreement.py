"""Rows that have a counterpart, and detections that are kept, as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from onnxq.render.text import figure, one_line
from onnxq.verification import NumericReport, SortedRows


def row_lines(numeric: NumericReport) -> Iterator[str]:
    """A line for each node that sorts or selects the rows of outputs: how many it reordered."""
    by_rows: dict[SortedRows, list[str]] = {}
    for output in numeric.outputs:
        if output.rows is not None:
            by_rows.setdefault(output.rows, []).append(one_line(output.name))
    for rows, names in by_rows.items():
        yield (
            f"{', '.join(names)}: rows sorted by {rows.op} '{one_line(rows.node)}' are compared "
            f"with the nearest: {rows.kept:,} of {rows.rows:,} have a counterpart, "
            f"{rows.moved:,} of them reordered"
            + (f"; {rows.new:,} rows are in the Q/DQ model only" if rows.new else "")
        )


def detection_lines(numeric: NumericReport) -> Iterator[str]:
    """What the float model detects and the Q/DQ model keeps."""
    report = numeric.detections
    if report is None:
        return
    least = report.least_score
    score = "" if least is None else f" with a score of {least:g} or more"
    counts = f"{report.float_count:,} in FP32, {report.count:,} in Q/DQ"
    yield f"detections: {one_line(report.decoder)}{score}: {counts}"
    if report.kept is None or report.new is None:
        yield "  the float model detects nothing in these samples, so nothing can be compared"
        return
    worst = PurePath(report.worst_sample or "").name
    where = f"; worst sample {one_line(worst)}" if worst else ""
    yield f"  kept {report.kept:.1%}, new {report.new:.1%}{where}"
    if report.mean_iou is not None:
        change = figure(report.score_change, "+.3f")
        yield f"  of the kept ones: mean IoU {report.mean_iou:.3f}, mean score change {change}"
