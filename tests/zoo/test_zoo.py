"""Every one of onnx's own models with a float Conv, Gemm or MatMul goes through, or is refused.

`pytest tests/zoo -s` prints the table: how many of the weighted ops are quantized, what raising the
opset did to the outputs, and how far the Q/DQ model's are from the float model's.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import onnx
import pytest

from onnxq.calibration.calibrate import calibrate, observed_tensors
from onnxq.diagnostics import OnnxqError
from onnxq.insertion.insert import insert, with_types
from onnxq.insertion.scales import compute_scales
from onnxq.model import node_inputs, ops
from onnxq.model.graph import Edge, Graph
from onnxq.model.preparing import opset, prepare, refuse_integer_ops, refuse_pairs
from onnxq.model.strip import strip
from onnxq.planning.cascade import plan
from onnxq.planning.recipe import load
from tests.inserting import InMemory, computed

from .cases import cases

pytestmark = pytest.mark.long
RECIPE = load("trt-int8")
OTHERS = {name: load(name) for name in ("trt-fp8", "trt-int4-weights")}


@dataclass(frozen=True)
class Other:
    """The same model by another recipe."""

    recipe: str
    pairs: int
    sqnr_db: float | None
    law: bool


@dataclass(frozen=True)
class Row:
    """What became of one case. `raised`: outputs 'equal', 'changed' or 'unchecked' after it."""

    name: str
    refused: str = ""
    opsets: str = ""
    quantized: int = 0
    weighted: int = 0
    raised: str = "unchecked"
    sqnr_db: float | None = None
    law: bool = True
    others: tuple[Other, ...] = ()

    def __str__(self):
        if self.refused:
            return f"{self.name:64} {self.refused}"
        sqnr = "-" if self.sqnr_db is None else f"{self.sqnr_db:.1f} dB"
        others = "  ".join(f"{o.recipe} {o.pairs}" for o in self.others)
        return (
            f"{self.name:64} {self.quantized:3} of {self.weighted:3}  opset {self.opsets:6}  "
            f"{self.raised:9}  {sqnr:>9}  {others}"
        )


def row(case):
    """Take a case the whole way; only errors with a code are caught."""
    try:
        return quantized(case)
    except OnnxqError as refused:
        first = refused.diagnostics[0]
        return Row(name=case.name, refused=f"{first.code}: {first.message}"[:90])


def quantized(case):
    refuse_integer_ops(case.model, case.name)
    refuse_pairs(case.model, case.name)
    seen = prepare(onnx.ModelProto.FromString(case.model.SerializeToString()), case.name)
    graph = Graph(seen, digest="d")
    made = plan(graph, RECIPE)
    tensors = observed_tensors(graph, made)
    feed = InMemory(case.inputs)
    statistics = calibrate(seen, graph, feed, tensors=tensors, decisions=made.decisions)
    scales = compute_scales(graph, made, statistics)
    result = insert(seen, made, scales)
    paired = {edge for pair in made.pairs for edge in pair.edges}
    weighted = [  # of float32 and float16 alone
        n
        for n in graph.nodes
        if ops.traits(n).weighted and len(node_inputs.data_slots(graph, n)) == 2
    ]
    whole = [n for n in weighted if all(Edge(node=n.name, slot=s) in paired for s in (0, 1))]
    found = Row(
        name=case.name,
        opsets=f"{opset(case.model)}>{opset(seen)}",
        quantized=len(whole),
        weighted=len(weighted),
    )
    expected = computed(seen, **case.inputs)
    others = tuple(
        by_another(name, graph, seen, statistics, case.inputs, expected) for name in OTHERS
    )
    back = strip(insert(seen, made, scales, weights="qdq"))
    found = replace(found, law=back.model == with_types(seen, made), others=others)
    return compared(found, case, expected, result)


def by_another(name, graph, seen, statistics, inputs, expected):
    """The statistics of the base recipe serve it too."""
    made = plan(graph, OTHERS[name])
    if not made.pairs:
        return Other(recipe=name, pairs=0, sqnr_db=None, law=True)
    scales = compute_scales(graph, made, statistics)
    result = insert(seen, made, scales)
    back = strip(insert(seen, made, scales, weights="qdq"))
    return Other(
        recipe=name,
        pairs=len(made.pairs),
        sqnr_db=lowest(expected, computed(result, **inputs)),
        law=back.model == with_types(seen, made),
    )


def lowest(expected, found):
    """The lowest SQNR of the outputs, in dB; None where none changed."""
    return min(filter(None, map(sqnr_db, expected, found)), default=None)


def compared(found, case, expected, result):
    found = replace(found, sqnr_db=lowest(expected, computed(result, **case.inputs)))
    try:
        original = computed(case.model, **case.inputs)
    except Exception as reason:  # onnxruntime's exceptions share no other base
        if "NOT_IMPLEMENTED" not in str(reason):
            raise
        return found  # the model is older than what onnxruntime has
    same = all(map(np.array_equal, original, expected, [True] * len(expected)))
    return replace(found, raised="equal" if same else "changed")


def sqnr_db(expected, found):
    """Signal to noise; None for outputs that are not float or empty, or that did not change."""
    if not isinstance(expected, np.ndarray) or expected.dtype.kind != "f" or not expected.size:
        return None
    differs = expected != found  # infinities are equal
    noise = np.square(np.subtract(expected[differs], found[differs], dtype=np.float64)).sum()
    return 10 * np.log10(np.square(expected, dtype=np.float64).sum() / noise) if noise else None


@pytest.fixture(scope="module")
def rows():
    found = [row(case) for case in cases()]
    print("\n" + "\n".join(map(str, found)))
    print(
        f"{len(found)} models, refused: {dict(Counter(r.refused[:5] for r in found if r.refused))}"
    )
    return {r.name: r for r in found}


def test_all_of_them_are_there(rows):
    assert sum(name.startswith("light/") for name in rows) == 9
    assert len(rows) > 200


def test_only_what_onnxruntime_cannot_run_is_refused(rows):
    refused = [r for r in rows.values() if r.refused]
    assert all(r.refused.startswith("OQ305") and "bf16" in r.name for r in refused), refused


def test_raising_the_opset_changes_no_output(rows):
    assert [r for r in rows.values() if r.raised == "changed"] == []
    unchecked = [r for r in rows.values() if not r.refused and r.raised == "unchecked"]
    assert all(r.opsets.startswith("6>") for r in unchecked), unchecked


def test_every_float32_and_float16_product_is_quantized(rows):
    left = [r for r in rows.values() if not r.refused and r.quantized < r.weighted]
    assert [r.name for r in left] == [], left
    assert sum(r.weighted for r in rows.values()) > 650


def test_outputs_stay_close(rows):
    far = [r for r in rows.values() if r.sqnr_db is not None and r.sqnr_db < 25]
    assert far == []


def test_stripping_gives_each_model_back(rows):
    assert [r.name for r in rows.values() if not r.law] == []


def test_fp8_and_int4_go_the_same_way(rows):
    others = [(row.name, other) for row in rows.values() for other in row.others]
    assert [one for one in others if not one[1].law] == []
    assert [one for one in others if one[1].sqnr_db is not None and one[1].sqnr_db < 12] == []
    through = Counter(other.recipe for _, other in others if other.pairs)
    assert through["trt-fp8"] == sum(row.weighted > 0 for row in rows.values())
    assert through["trt-int4-weights"] > 5  # most sum over less than two blocks
