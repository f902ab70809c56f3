"""Which tensors may exceed a magnitude, for all that a calibration and the weights say."""

from __future__ import annotations

from onnx import TensorProto

from onnxq.calibration.methods import ImportedAmax
from onnxq.calibration.statistics import Statistics
from onnxq.model.graph import Graph
from onnxq.model.magnitudes import magnitudes


def observed_magnitudes(statistics: Statistics) -> dict[str, float]:
    """The largest finite magnitude of each tensor that was observed in every sample.

    An imported amax is none: it may leave out the largest values.
    """
    return {
        name: tensor.range.amax
        for name, tensor in statistics.tensors.items()
        if not isinstance(tensor.values, ImportedAmax) and tensor.samples >= statistics.samples
    }


def unobserved_bounds(graph: Graph, statistics: Statistics) -> dict[str, float]:
    """Return bounds of |x| for the float32 tensors outside of bodies that were not observed.

    A tensor that was observed in some of the samples alone is among them. The bounds follow from
    the observed tensors and the weights (`model/magnitudes.py`).
    """
    observed = observed_magnitudes(statistics)
    return {
        tensor: bound
        for tensor, bound in magnitudes(graph, observed).items()
        if tensor not in observed
        and not graph.is_constant(tensor)
        and graph.type(tensor).dtype != TensorProto.FLOAT16
    }


def doubtful(graph: Graph, statistics: Statistics, largest: float) -> tuple[str, ...]:
    """Return the float32 tensors outside of bodies that may have values beyond `largest`."""
    bounds = unobserved_bounds(graph, statistics)
    return tuple(tensor for tensor, bound in bounds.items() if bound > largest)
