"""learn: what it gains on a trained model, what it leaves alone, and shapes that are odd."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from PIL import Image, ImageDraw, ImageFont

import onnxq
from onnxq.improvement.training.blocks import blocks
from onnxq.improvement.training.run import LearningRun
from onnxq.model.inner_outputs import with_inner_outputs
from onnxq.model.loading import load
from onnxq.model.pruning import keep_outputs
from onnxq.torch_graph.operators import lacking
from tests.conftest import packaged
from tests.e2e.text_pages import LINES
from tests.improvement.models import array, concat_of_a_branch, model, samples, two_convs
from tests.improvement.working import gain, work_on


@pytest.fixture(autouse=True)
def _one_thread():
    """Beside other tests torch on several threads waits for itself, ten times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def learned(proto, data, steps=30, **options):
    """What the improver is given, and what it changes."""
    work = replace(work_on(proto, data), **options)
    return work, LearningRun(work, steps=steps).result()


def line_of_text(number):
    """An input of the direction classifier: a rendered line, upright or upside down."""
    rng = np.random.default_rng(number)
    paper = Image.new("RGB", (192, 48), tuple(int(v) for v in rng.integers(150, 256, 3)))
    font = ImageFont.load_default(int(rng.integers(14, 30)))
    place = (int(rng.integers(2, 30)), int(rng.integers(2, 14)))
    ink = tuple(int(v) for v in rng.integers(0, 100, 3))
    ImageDraw.Draw(paper).text(place, str(rng.choice(LINES)), font=font, fill=ink)
    turned = paper.rotate(180) if rng.random() < 0.5 else paper
    values = np.asarray(turned, np.float32) + rng.normal(0, 4, (48, 192, 3))
    return {"x": (values / 127.5 - 1).transpose(2, 0, 1)[None].astype(np.float32)}


@pytest.fixture(scope="module")
def classifier():
    """The features that the PP-OCR direction classifier decides on: 53 Convs, opset 13."""
    path = packaged("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx")
    loaded = load(path)
    pool = next(n for n in reversed(loaded.graph.nodes) if n.op == "MatMul").inputs[0]
    proto = with_inner_outputs(loaded.proto, [pool])
    keep_outputs(proto.graph, {pool})
    return proto


@pytest.mark.long
def test_a_trained_model_gains_on_samples_that_it_did_not_see(classifier):
    data = [line_of_text(i) for i in range(48)]
    work, edits = learned(classifier, data, steps=60)
    assert edits.constants
    assert edits.scales
    assert gain(work, edits, [line_of_text(1000 + i) for i in range(48)]) > 1.3


def test_a_run_that_was_interrupted_gives_the_same(classifier):
    data = [line_of_text(i) for i in range(8)]
    work, kept = work_on(classifier, data), []
    whole = LearningRun(replace(work, keep=kept.append), steps=2).result()
    halfway = kept[len(kept) // 2]
    assert all(array.dtype == np.float32 for array in halfway.values())
    resumed = LearningRun(replace(work, state=halfway), steps=2).result()
    for one, other in ((whole.constants, resumed.constants), (whole.scales, resumed.scales)):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)


def conv(inputs, output, name, **attributes):
    return helper.make_node("Conv", inputs, [output], name, **attributes)


def pictures(count, seed=1):
    """Inputs whose mean is not zero, so that rounded weights shift what comes of them."""
    shape = (1, 3, 8, 8)
    return [{"x": np.abs(s["x"]) + 1} for s in samples(count, shape, seed)]


def one_conv():
    weights = [array("w", np.random.default_rng(0).normal(size=(8, 3, 3, 3)))]
    return model([conv(["x", "w"], "y", "one")], weights, {"x": [1, 3, 8, 8]}, {"y": [1, 8, 6, 6]})


def test_equal_seeds_learn_equal_numbers_and_others_do_not():
    once, again, other = (learned(one_conv(), pictures(48), 50, seed=s)[1] for s in (1, 1, 2))
    assert np.array_equal(once.constants["w"], again.constants["w"])
    assert not np.array_equal(once.constants["w"], other.constants["w"])


def test_a_product_without_a_bias_gets_one():
    work, edits = learned(one_conv(), pictures(48), steps=100)
    assert np.abs(edits.biases["one"]).max() > 0
    onnx.checker.check_model(work.subject.edited(edits).quantized(), full_check=True)
    assert gain(work, edits, pictures(48, seed=9)) > 0


def test_a_product_without_pairs_stays():
    recipe = onnxq.Recipe.from_yaml(
        "schema: 1\nextends: trt-int8\nrules: "
        "[{id: skip, why: t, match: {name: first}, skip: [inputs, weights]}]"
    )
    work = work_on(two_convs(), samples(8), recipe)
    assert "first" in work.targets
    edits = LearningRun(work, steps=4).result()
    assert not edits.biases
    assert not edits.constants.keys() & {"w1"}


def test_a_weight_that_two_nodes_read_stays():
    weights = [array("w", np.random.default_rng(0).normal(size=(3, 3, 1, 1)))]
    nodes = [conv(["x", "w"], "a", "one"), conv(["a", "w"], "y", "two")]
    proto = model(nodes, weights, {"x": [1, 3, 4, 4]}, {"y": [1, 3, 4, 4]})
    _, edits = learned(proto, samples(8, (1, 3, 4, 4)))
    assert "w" not in edits.constants
    assert edits.scales


def test_a_weight_that_is_an_output_stays():
    nodes = [conv(["x", "w"], "y", "one")]
    weights = [array("w", np.random.default_rng(0).normal(size=(3, 3, 1, 1)))]
    outputs = {"y": [1, 3, 4, 4], "w": [3, 3, 1, 1]}
    proto = model(nodes, weights, {"x": [1, 3, 4, 4]}, outputs)
    _, edits = learned(proto, samples(8, (1, 3, 4, 4)))
    assert "w" not in edits.constants


def test_what_is_no_target_stays():
    data = pictures(32)
    _, edits = learned(two_convs(), data, steps=50, targets=("second",))
    assert set(edits.constants) <= {"w2", "bias2"}
    assert not edits.biases
    assert {pair.tensor for pair in edits.scales} <= {"b", "w2"}
    assert edits


def test_pairs_of_a_share_group_keep_one_scale():
    work, edits = learned(concat_of_a_branch(), samples(48, (1, 3, 4, 4)), steps=100)
    groups = {p.group for p in work.subject.plan.pairs if p.group is not None}
    shared = [p for p in edits.scales if p.group in groups]
    assert len(shared) > 1
    assert len({float(edits.scales[p]) for p in shared}) == 1
    assert edits.scales[shared[0]] != work.subject.scales.by_pair[shared[0]]


def test_an_operator_without_a_row_ends_a_block():
    rng = np.random.default_rng(0)
    weights = [array(f"w{i}", rng.normal(size=(3, 3, 1, 1))) for i in range(2)]
    nodes = [
        conv(["x", "w0"], "a", "first"),
        helper.make_node("LRN", ["a"], ["b"], "norm", size=3),
        conv(["b", "w1"], "y", "second"),
    ]
    proto = model(nodes, weights, {"x": [1, 3, 8, 8]}, {"y": [1, 3, 8, 8]})
    graph = load(proto).graph
    cut = blocks(graph, 3, lambda node: bool(lacking(node)))
    assert [set(block.nodes) for block in cut] == [{"first"}, {"norm"}, {"second"}]
    _, edits = learned(proto, pictures(48), steps=100)
    assert {"w0", "w1"} <= edits.constants.keys()
    assert all("torch lacks an operator" in note for note in edits.notes.values())
    assert edits.notes


def test_scalars_and_masks_between_blocks_are_no_obstacle():
    rng = np.random.default_rng(0)
    weights = [array(f"w{i}", rng.normal(size=(3, 3, 1, 1))) for i in range(7)]
    nodes = [conv(["x" if not i else f"a{i - 1}", f"w{i}"], f"a{i}", f"c{i}") for i in range(7)]
    nodes[1:1] = [
        helper.make_node("ReduceMax", ["a0"], ["top"], "top", keepdims=0),
        helper.make_node("Greater", ["a0", "zero"], ["mask"], "mask"),
    ]
    nodes += [
        helper.make_node("Where", ["mask", "a6", "top"], ["y"], "last"),
        helper.make_node("Identity", ["top"], ["z"], "out"),
    ]
    weights.append(array("zero", np.array(0)))
    shape = [1, 3, 4, 4]
    proto = model(nodes, weights, {"x": shape}, {"y": shape, "z": []})
    work, edits = learned(proto, samples(16, (1, 3, 4, 4)), steps=30)
    assert edits.scales
    assert gain(work, edits, samples(16, (1, 3, 4, 4), 7)) > 0


def test_samples_of_several_shapes_stand_alone():
    proto = model(
        [conv(["x", "w"], "y", "one")],
        [array("w", np.random.default_rng(0).normal(size=(3, 3, 1, 1)))],
        {"x": [1, 3, "h", "w"]},
        {"y": [1, 3, "h", "w"]},
    )
    rows = [s["x"] for side in (4, 6) for s in samples(16, (1, 3, side, side))]
    data = [{"x": np.abs(x) + 1} for x in rows]
    several = onnxq.calibrate(proto, data, ragged=True)
    assert LearningRun(work_on(proto, data, statistics=several), steps=50).result().scales


_STATES = """
import sys
import numpy as np
from dataclasses import replace
from onnxq.improvement.training.run import LearningRun
from tests.improvement.models import samples, two_convs
from tests.improvement.working import work_on
kept = []
work = work_on(two_convs(), samples(8))
if sys.argv[1] == "keep":
    LearningRun(replace(work, keep=kept.append), steps=3).result()
    np.savez(sys.argv[2], **kept[-1])
else:
    edits = LearningRun(replace(work, state=dict(np.load(sys.argv[2]))), steps=3).result()
    print(sorted((pair.tensor, scale.tobytes().hex()) for pair, scale in edits.scales.items()))
"""


@pytest.mark.long
def test_another_process_goes_on_from_a_state(tmp_path):
    def run(*arguments, seed):
        command = [sys.executable, "-c", _STATES, *arguments]
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert not done.returncode, done.stderr
        return done.stdout

    run("keep", str(tmp_path / "state.npz"), seed="1")
    both = {run("go on", str(tmp_path / "state.npz"), seed=seed) for seed in ("1", "2", "3")}
    assert len(both) == 1


ODD = {
    "one channel": (1, 1, {}),
    "depthwise": (4, 4, {"group": 4}),
    "groups": (4, 2, {"group": 2}),
    "zero channels": (0, 2, {}),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("batch", ["n", 1])
def test_odd_shapes_are_learned_or_left_alone(kind, batch):
    inputs, outputs, attributes = ODD[kind]
    group = attributes.get("group", 1)
    rng = np.random.default_rng(0)
    weights = [
        array("w", rng.normal(size=(outputs, inputs // group, 3, 3))),
        array("v", np.zeros((2, outputs, 1, 1))),
    ]
    nodes = [conv(["x", "w"], "a", "one", **attributes), conv(["a", "v"], "y", "two")]
    shapes = {"x": [batch, inputs, 8, 8]}, {"y": [batch, 2, 6, 6]}
    proto = model(nodes, weights, *shapes)
    work, edits = learned(proto, samples(8, (1, inputs, 8, 8)), steps=4)
    assert all(np.isfinite(a).all() for a in (*edits.constants.values(), *edits.scales.values()))
    onnx.checker.check_model(work.subject.edited(edits).quantized(), full_check=True)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import onnxq
from tests.improvement.models import samples, two_convs
print(onnxq.improve(two_convs(), samples(8)))
"""


def test_without_torch_the_others_run():
    command = [sys.executable, "-c", WITHOUT_TORCH]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "it needs torch, which is not installed: pip install 'onnxq[torch]'" in printed
