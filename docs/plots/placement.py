"""placement.svg: what TensorRT-RTX makes of three ways to place pairs in one model."""

from style import BLUE, GREY, ORANGE, figure, write

import onnxq
from demo import MODEL, statistics

PAIR = {"quantize": {"inputs": "act", "weights": "weight"}}
WEIGHTED = {"why": "Products.", "match": {"op": ["Conv", "Gemm", "MatMul"]}, **PAIR}
OTHERS = {
    "why": "To show what pairs cost where nothing is multiplied.",
    "match": {"op": ["Sigmoid", "Mul", "Concat", "MaxPool", "Resize"]},
    "quantize": {"inputs": "act"},
}
PLACEMENTS = {
    "before weighted ops only": [{"id": "weighted", **WEIGHTED}],
    "before every op": [{"id": "weighted", **WEIGHTED}, {"id": "others", **OTHERS}],
}
DESCRIPTORS = {
    "act": {"method": "percentile"},
    "weight": {"granularity": "per_channel", "calibrator": "max"},
}
KINDS = {"quantize": BLUE, "dequantize": GREY, "requantize": ORANGE, "reformat": "#8fb9dd"}


def recipes():
    """The three recipes by name."""
    yield "the default recipe", onnxq.load_recipe("trt-int8")
    for name, rules in PLACEMENTS.items():
        content = {"schema": 1, "descriptors": DESCRIPTORS, "rules": rules}
        yield name, onnxq.Recipe.from_dict(content)


rows = []
calibrated = onnxq.calibrate(
    MODEL,
    MODEL.parent / "calibration",
    preprocess="yolox",
    recipe=dict(recipes())["before every op"],
)
for name, recipe in recipes():
    used = statistics() if name == "the default recipe" else calibrated
    report = onnxq.verify(MODEL, onnxq.insert(MODEL, recipe, used), gpu="l4")
    rows.append((name, report.models[0]))

drawn = figure(8, 3)
kernels, times = drawn.subplots(1, 2, sharey=True)
for row, (_, model) in enumerate(rows):
    left = 0
    for kind, colour in KINDS.items():
        number = getattr(model.compiled.conversions, kind)
        kernels.barh(row, number, left=left, color=colour, label=kind if row == 0 else None)
        left += number
    (engine,) = (e for e in model.cost.engines if e.types == "qdq")
    times.barh(row, engine.seconds * 1000, color=BLUE)
    times.text(engine.seconds * 1000, row, f" {engine.seconds * 1000:.3f}", va="center")
kernels.set_yticks(range(len(rows)), [name for name, _ in rows])
kernels.invert_yaxis()
kernels.set_xlabel("kernels that only convert")
times.set_xlabel("least time on an L4, ms")
times.margins(x=0.25)
drawn.legend(loc="outside upper left", ncols=4, frameon=False)
write(drawn, "placement")
