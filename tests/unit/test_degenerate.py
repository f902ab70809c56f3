"""Tensors that calibration data make now and then: a scale, and a diagnostic, for every method."""

import numpy as np
import pytest

from onnxq.calibration.methods import METHODS
from onnxq.insertion.scales import compute_scales
from onnxq.model.graph import Graph
from onnxq.model.preparing import name_nodes
from tests.onnx_text import model
from tests.planning import planned, rule

from .test_scales import observed

GRAPH = Graph(
    name_nodes(
        model(
            "g (float[1,4,8,8] x) => (float z) <float[4,4,1,1] w> {\n    [conv] z = Conv (x, w)\n}"
        )
    ),
    digest="d",
)
NORMAL = np.random.default_rng(0).standard_normal(100_000)

# The values, the amax that every method gives to 1 %, and what is told.
CASES = {
    "all zero": (np.zeros(100), None, ["OQ414"]),
    "negative zero": (-np.zeros(3), None, ["OQ414"]),
    "no value at all": (np.zeros(0), None, ["OQ414"]),
    "constant": (np.full(1000, -6.0), 6, []),
    "one value": (np.array([3.0]), 3, []),
    "one value among zeros": (np.append(np.zeros(100_000), 5.0), 5, []),
    "below 1e-30": (np.full(9, 1e-31), None, ["OQ414"]),
    "subnormal": (np.array([1e-45, 3e-42, 0.0]), None, ["OQ414"]),
    "one NaN": (np.append(np.full(1000, 6.0), np.nan), 6, ["OQ415"]),
    "one Inf": (np.append(np.full(1000, 6.0), -np.inf), 6, ["OQ415"]),
    "zeros and NaN": (np.array([0.0, np.nan]), None, ["OQ414", "OQ415"]),
    "nothing but NaN": (np.full(5, np.nan), None, ["OQ415"]),
    "nothing but Inf": (np.array([np.inf, -np.inf]), None, ["OQ415"]),
}
GATHERED = [(True, method) for method in METHODS] + [(False, "max")]


def scale_and_codes(folder, x, method, histogram):
    quantize = f"{{inputs: {{method: {method}}}}}"
    plan = planned(folder, GRAPH, rule("{op: Conv}", quantize=quantize))
    computed = compute_scales(GRAPH, plan, observed(histogram=histogram, x=x))
    (pair,) = plan.pairs
    return float(computed[pair]), [d.code for d in computed.diagnostics]


@pytest.mark.parametrize(("histogram", "method"), GATHERED)
@pytest.mark.parametrize("name", CASES)
def test_scale_and_diagnostic(tmp_path, name, histogram, method):
    x, amax, codes = CASES[name]
    scale, told = scale_and_codes(tmp_path, x, method, histogram)
    assert told == codes
    assert scale == (1 if amax is None else pytest.approx(amax / 127, rel=0.01))


@pytest.mark.parametrize(("histogram", "method"), GATHERED)
def test_a_single_outlier(tmp_path, histogram, method):
    """max keeps it, percentile and entropy cut it; mse keeps it in part, adaptive to 8 times."""
    scale, told = scale_and_codes(tmp_path, np.append(NORMAL, 1e6), method, histogram)
    limits = {"max": (1e6, 1e6), "mse": (5e5, 1e6), "adaptive": (24, 40)}
    low, high = limits.get(method, (3, 10))
    assert low * 0.9999 <= scale * 127 <= high * 1.0001
    assert told == []
