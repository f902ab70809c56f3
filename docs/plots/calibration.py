"""calibration.svg: the values of one tensor, and what each amax does to them."""

import numpy as np
from style import BLUE, DARK, GREY, ORANGE, figure, write

import onnxq
from demo import statistics
from onnxq.calibration.methods import squared_errors

TENSOR = "507"
found = statistics()
histogram = found[TENSOR].histogram
amaxes = onnxq.summarize(found, [TENSOR]).amaxes[TENSOR]

drawn = figure(8, 5)
above, below = drawn.subplots(2, 1, sharex=True)
edges = np.geomspace(0.05, histogram.range.amax, 90)
shares, _ = np.histogram(histogram.centres(), edges, weights=histogram.counts)
above.stairs(shares / histogram.counts.sum() * 100, edges, fill=True, color=BLUE)
above.set_ylabel("values, %")
above.set_title(f"Tensor {TENSOR} of the YOLOX in make demo", loc="left")

candidates = np.geomspace(1, histogram.range.amax, 300)
power = histogram.counts @ np.square(histogram.centres())
below.plot(candidates, 10 * np.log10(power / squared_errors(histogram, candidates)), color=DARK)
below.set_ylabel("SQNR of the tensor, dB")
below.set_xlabel("magnitude, and amax")
below.set_xscale("log")
below.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
for amax in amaxes.values():
    reached = 10 * np.log10(power / squared_errors(histogram, np.array([amax]))[0])
    for axes in (above, below):
        axes.axvline(amax, color=GREY, linewidth=0.8, linestyle=":")
    below.scatter([amax], [reached], color=ORANGE, zorder=3)
for height, (method, amax) in enumerate(sorted(amaxes.items(), key=lambda item: item[1])):
    above.annotate(
        method, (amax, above.get_ylim()[1] * (0.95 - 0.13 * height)), ha="right", color=DARK
    )
write(drawn, "calibration")
