"""If, Loop, Scan and one inside the other, through the commands: what comes out is int8 inside."""

import filecmp

import numpy as np
import onnx
import pytest

from onnxq.model.preparing import prepare
from onnxq.model.scopes import nodes, scopes
from onnxq.model.strip import strip
from tests.cli.forked import onnxq
from tests.command import result, succeeded
from tests.inserting import computed, quantized
from tests.onnx_text import model

BODIES = """
bodies (float[2,16,8,8] x, bool c, int64 n) =>
    (float[2,16,8,8] taken, float[2,16,8,8] carried, float[16,8,8] last, float[2,16,8,8] slices)
<float[16,16,3,3] w, float[16,16,1,1] k, float[16,16,1,1] far, float[16,8,8] begin> {
    [relu] p = Relu (x)
    [tied_outside] q = Conv <pads = [1,1,1,1]> (p, w)
    [gate] gate = Sigmoid (q)
    taken = If (c) <
        then_branch = yes () => (float[2,16,8,8] u) {
            [from_outside] v = Conv (gate, k) u = Neg (v) },
        else_branch = no () => (float[2,16,8,8] u) <float[16,16,1,1] own> {
            v = Tanh (gate) [own_weight] u = Conv (v, own) }
    >
    always = Constant <value = bool {1}> ()
    carried = Loop (n, always, x) <
        body = turn (int64 i, bool go, float[2,16,8,8] h) => (bool on, float[2,16,8,8] o) {
            on = Identity (go)
            [tied_inside] r = Conv <pads = [1,1,1,1]> (h, w)
            s = Tanh (r)
            o = If (c) <
                then_branch = odd () => (float[2,16,8,8] u) {
                    [nested] v = Conv (s, far) u = Add (v, x) },
                else_branch = even () => (float[2,16,8,8] u) { u = Neg (s) }
            >
        }
    >
    last, slices = Scan <num_scan_inputs = 1,
        body = step (float[16,8,8] h, float[16,8,8] e) => (float[16,8,8] o, float[16,8,8] l) {
            one = Constant <value_ints = [0]> ()
            f = Unsqueeze (e, one)
            [scanned] g = Conv (f, k)
            o = Squeeze (g, one)
            l = Add (o, h)
        }
    > (begin, x)
}
"""  # fmt: skip
PRODUCTS = {
    "tied_outside", "from_outside", "own_weight", "tied_inside", "nested", "scanned"
}  # fmt: skip
LOADER = """
import numpy as np

def load_data():
    rng = np.random.default_rng(1)
    for i in range(8):
        x = rng.normal(size=(2, 16, 8, 8)).astype(np.float32)
        yield {"x": x, "c": np.array(i % 2 == 0), "n": np.array(i % 3)}
"""


def bodies():
    proto = model(BODIES)
    tensors = (t for _, graph in scopes(proto.graph) for t in graph.initializer)
    for tensor in tensors:  # so that a Loop does not blow up
        values = 0.1 * onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return proto


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the model was calibrated and inserted into."""
    folder = tmp_path_factory.mktemp("bodies")
    onnx.save(bodies(), folder / "model.onnx")
    (folder / "data.py").write_text(LOADER)
    succeeded(onnxq("calibrate", "model.onnx", "--data", "data.py", cwd=folder))
    succeeded(onnxq("insert", cwd=folder))
    return folder


def test_every_product_is_int8_in_the_engine(folder):
    asked = ("--data", "data.py", "--tensors", "--json")
    verified = result(onnxq("verify", "model.onnx", "model.qdq.onnx", *asked, cwd=folder))
    (report,) = verified["models"]
    assert report["lint"] == []
    assert report["numeric"]["sqnr_db"] > 25
    ops = {op["node"]: op for op in report["compiled"]["ops"]}
    assert ops.keys() == PRODUCTS
    assert {op["precision"] for op in ops.values()} == {"int8"}
    assert {op["expected"] for op in ops.values()} == {"int8"}
    often = {name for name, op in ops.items() if op["macs"] is None}
    assert often == {"tied_inside", "nested", "scanned"}
    assert report["compiled"]["int8_macs"] is None
    outside = {"p_QuantizeLinear", "tied_outside"}
    assert {t["node"] for t in report["numeric"]["tensors"]} == outside
    inside = set(report["numeric"]["inside"])
    assert inside > PRODUCTS - outside
    assert "gate_QuantizeLinear" in inside  # which only a branch dequantizes


def test_shards_and_passes_see_what_one_run_sees(folder, tmp_path):
    asked = ("calibrate", folder / "model.onnx", "--data", folder / "data.py")
    whole = folder / "model.calib.npz"
    shards = [tmp_path / f"{n}.calib.npz" for n in (1, 2)]
    for number, shard in enumerate(shards, 1):
        succeeded(onnxq(*asked, "--shard", f"{number}/2", "-o", shard, cwd=tmp_path))
    merged = tmp_path / "merged.npz"
    succeeded(onnxq("calib", "merge", *shards, "-o", merged, cwd=tmp_path))
    counts = [shown(path) for path in (whole, merged)]
    assert counts[0] == counts[1]
    passes = tmp_path / "passes.npz"
    succeeded(onnxq(*asked, "--max-memory", "20KB", "-o", passes, cwd=tmp_path))
    assert {t: n for t, (n, *_) in shown(passes).items()} == {
        t: n for t, (n, *_) in counts[0].items()
    }


@pytest.mark.long
def test_workers_see_what_one_run_sees(folder, tmp_path):
    asked = ("calibrate", folder / "model.onnx", "--data", folder / "data.py")
    again, alone = tmp_path / "again.npz", tmp_path / "alone.npz"
    succeeded(onnxq(*asked, "--workers", "2", "-o", again, cwd=tmp_path))
    succeeded(onnxq(*asked, "-o", alone, cwd=tmp_path))
    assert filecmp.cmp(alone, again, shallow=False)


def shown(path):
    """Count, minimum and maximum of every tensor of a calibration."""
    listing = result(succeeded(onnxq("calib", "show", path, "--json", cwd=path.parent)))
    return {t["name"]: (t["values"], t["min"], t["max"]) for t in listing["tensors"]}


def test_values_are_counted_as_often_as_they_are(folder):
    size = 2 * 16 * 8 * 8
    counts = {name: count for name, (count, *_) in shown(folder / "model.calib.npz").items()}
    assert counts["p"] == counts["gate"] == 8 * size  # outside: once a sample
    assert counts["h"] == counts["s"] == sum(i % 3 for i in range(8)) * size  # each iteration
    assert counts["v_1"] == 4 * size  # where the branch was taken
    assert counts["f"] == 8 * size  # slices


@pytest.mark.parametrize("weights", ["int8", "qdq"])
def test_stripping_takes_away_what_insert_added(tmp_path, weights):
    before = prepare(bodies())
    result_ = quantized(tmp_path, bodies(), weights=weights)
    onnx.checker.check_model(result_, full_check=True)
    back = strip(result_)
    assert not back.diagnostics
    if weights == "qdq":
        assert back.model == before
        return
    assert [(s, n.op_type, n.name) for s, n in nodes(back.model.graph)] == [
        (s, n.op_type, n.name) for s, n in nodes(before.graph)
    ]
    x = np.random.default_rng(2).normal(size=(2, 16, 8, 8)).astype(np.float32)
    for taken in (True, False):
        feed = {"x": x, "c": np.array(taken), "n": np.array(2)}
        for one, other in zip(computed(before, **feed), computed(back.model, **feed), strict=True):
            np.testing.assert_allclose(one, other, atol=0.05)


def test_a_weight_is_stored_once_where_it_lies(tmp_path):
    qdq = quantized(tmp_path, bodies())
    stored = {t.name for t in qdq.graph.initializer if t.data_type == onnx.TensorProto.INT8}
    assert {"w_quantized", "k_quantized", "far_quantized"} <= stored
    assert "own_quantized" not in stored
    outside = {n.name for n in qdq.graph.node}
    assert {"w_DequantizeLinear", "k_DequantizeLinear", "far_DequantizeLinear"} <= outside
    assert "own_DequantizeLinear" not in outside


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_the_rest_in_half_precision(folder, tmp_path, kind):
    path = tmp_path / "half.onnx"
    succeeded(onnxq("insert", "--float", kind, "-o", path, cwd=folder))
    asked = ("--data", "data.py", "--json")
    verified = result(onnxq("verify", "model.onnx", path, *asked, cwd=folder))
    (report,) = verified["models"]
    ops = {op["node"]: op["precision"] for op in report["compiled"]["ops"]}
    assert ops == dict.fromkeys(PRODUCTS, "int8")


def test_pairs_inside_are_kept_and_completed(folder, tmp_path):
    (tmp_path / "some.yaml").write_text(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "  - {id: some, why: t, match: {inside: If}, skip: all}\n"
    )
    path = tmp_path / "some.onnx"
    succeeded(onnxq("insert", "--rules", tmp_path / "some.yaml", "-o", path, cwd=folder))
    refused = onnxq("calibrate", path, "--data", folder / "data.py", cwd=tmp_path)
    assert refused.returncode == 2
    assert "OQ303" in refused.stderr
    keep = ("--existing", "keep")
    succeeded(onnxq("calibrate", path, "--data", folder / "data.py", *keep, cwd=tmp_path))
    placed = result(succeeded(onnxq("insert", path, *keep, "--json", cwd=tmp_path)))
    assert placed["weighted_ops_quantized"] == len(PRODUCTS)
    whole = onnx.load(tmp_path / "some.qdq.onnx")
    onnx.checker.check_model(whole, full_check=True)
    (shared,) = (n for _, n in nodes(whole.graph) if n.op_type == "DequantizeLinear"
                 and n.input[0] == "k_quantized")  # fmt: skip
    assert shared
