"""accuracy.svg: the noise that each op adds and what has gathered so far, along a network."""

from style import BLUE, ORANGE, figure, write

import onnxq
from demo import EVALUATION, MODEL, statistics

inserted = onnxq.insert(MODEL, statistics=statistics())
report = onnxq.verify(
    MODEL, inserted, data=EVALUATION, preprocess="yolox", tensors=True, backend="onnxruntime"
)
ops = sorted(
    (site for site in report.models[0].numeric.tensors if site.kind == "op"),
    key=lambda site: site.position,
)
drawn = figure(8, 3.6)
axes = drawn.add_subplot()
places = [site.position for site in ops]
axes.scatter(
    places,
    [site.local.sqnr_db for site in ops],
    color=BLUE, s=18, label="alone: this op's own noise",
)  # fmt: skip
axes.scatter(
    places,
    [site.accumulated.sqnr_db for site in ops],
    color=ORANGE, marker="x", s=24, label="so far: with the noise of all ops before",
)  # fmt: skip
axes.set_xlabel("node of the YOLOX, in the order of the network")
axes.set_ylabel("SQNR, dB")
drawn.legend(loc="outside upper left", ncols=2, frameon=False)
write(drawn, "accuracy")
