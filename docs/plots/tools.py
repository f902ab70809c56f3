"""tools.svg: the SQNR of the worst part by onnxq and other tools, of benchmarks/results/."""

import statistics
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import records
from style import BLUE, GREY, ORANGE, figure, write
from subjects import SUBJECTS

WAYS = {
    "onnxq-improve": ("onnxq --improve", ORANGE, "o"),
    "onnxq": ("onnxq", BLUE, "o"),
    "nncf": ("NNCF", GREY, "s"),
    "modelopt-entropy": ("ModelOpt", GREY, "^"),
    "onnxruntime": ("onnxruntime", GREY, "x"),
}


def worst_db(record, way):
    """The mean over the calibration sets; None when the tool gave no model."""
    scores = [cell.scores.worst_db for cell in record.of(way) if cell.scores]
    return statistics.mean(scores) if scores else None


found = [record for name in SUBJECTS if (record := records.load(name))]
drawn = figure(8, 2.7)
axes = drawn.add_subplot()
for way, (label, colour, marker) in WAYS.items():
    points = [(worst_db(record, way), row) for row, record in enumerate(found)]
    points = [point for point in points if point[0] is not None]
    hollow = colour is GREY and marker != "x"  # so that what is below stays visible
    axes.scatter(
        *zip(*points, strict=True),
        marker=marker,
        label=label,
        s=60,
        **({"facecolor": "none", "edgecolor": colour} if hollow else {"color": colour}),
    )
axes.set_yticks(range(len(found)), [SUBJECTS[record.model].title for record in found])
axes.invert_yaxis()
axes.grid(axis="y", color="#dddddd")
axes.set_axisbelow(True)
axes.set_xlabel("SQNR of the worst output in INT8, dB; higher is better")
drawn.legend(loc="outside right center", frameon=False)
write(drawn, "tools")
