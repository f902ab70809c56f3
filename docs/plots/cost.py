"""cost.svg: where the least time of three engines of one model goes."""

from style import BLUE, GREY, ORANGE, figure, write

import onnxq
from demo import MODEL, statistics

report = onnxq.verify(MODEL, onnxq.insert(MODEL, statistics=statistics()), gpu="l4")
engines = report.models[0].cost.engines
PARTS = {
    "products": (BLUE, lambda step: not step.converts and step.bound == "products"),
    "memory": ("#8fb9dd", lambda step: not step.converts and step.bound == "memory"),
    "only converts": (ORANGE, lambda step: step.converts),
}
drawn = figure(8, 2.6)
axes = drawn.add_subplot()
for row, engine in enumerate(engines):
    left = 0.0
    for name, (colour, belongs) in PARTS.items():
        ms = sum(step.seconds for step in engine.steps if belongs(step)) * 1000
        axes.barh(row, ms, left=left, color=colour, label=name if row == 0 else None)
        left += ms
    axes.text(left, row, f" {engine.bytes / 1e6:.1f} MB moved", va="center", color=GREY)
axes.set_yticks(range(len(engines)), [e.types.upper().replace("QDQ", "Q/DQ") for e in engines])
axes.invert_yaxis()
axes.margins(x=0.2)
axes.set_xlabel("least time of the YOLOX on an L4, ms, by what bounds each step")
drawn.legend(loc="outside upper left", ncols=3, frameon=False)
write(drawn, "cost")
