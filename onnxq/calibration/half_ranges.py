"""Statistics + ranges of the tensors of which half precision has to know more."""

from __future__ import annotations

from collections.abc import Callable

from onnxq.calibration.calibrate import side_by_side
from onnxq.calibration.doubtful import doubtful
from onnxq.calibration.statistics import Statistics
from onnxq.model.graph import Graph


def with_ranges(
    statistics: Statistics,
    graph: Graph,
    largest: float,
    observe: Callable[[tuple[str, ...]], Statistics],
) -> Statistics:
    """Add the exact ranges of the tensors that may exceed `largest`; often there are none.

    `observe` calibrates these tensors on the same data with the `max` calibrator. Raises OQ432 when
    the data were others.
    """
    tensors = doubtful(graph, statistics, largest)
    return side_by_side((statistics, observe(tensors))) if tensors else statistics
