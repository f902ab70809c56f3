"""Models as they come: the commands either write a valid model or say why not."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxq.model.metadata import metadata_of
from tests.command import succeeded
from tests.onnx_text import model

from .conftest import MODEL

PICTURE = "float[1,3,16,16] x"
WEIGHTS = "<float[4,3,3,3] w, float[2,4,3,3] v>"
FIRST = "a = Conv <pads = [1,1,1,1]> (x, w)"
LAST = "y = Conv <pads = [1,1,1,1]> (b, v)"
OLD = {  # opset, what stands between two Convs: ops that the version converter rewrites
    "Squeeze and Unsqueeze": (11, "s = Squeeze <axes = [0]> (a) b = Unsqueeze <axes = [0]> (s)"),
    "Split": (
        12,
        "p, q = Split <axis = 1, split = [1, 3]> (a) t = Concat <axis = 1> (q, p)"
        " r, s = Split <axis = 1, split = [2, 2]> (t) b = Concat <axis = 1> (r, s)",
    ),
    "Softmax": (11, "b = Softmax <axis = 1> (a)"),
    "Upsample": (
        9,
        "f = Constant <value = float[4] {1., 1., 2., 2.}> ()"
        " b = Upsample <mode = 'nearest'> (a, f)",
    ),
}


@pytest.mark.parametrize("ops", OLD)
def test_ops_that_the_opset_converter_rewrites(here, ops):
    version, between = OLD[ops]
    between = between.replace("'", '"')
    text = f"g ({PICTURE}) => (float y) {WEIGHTS} {{ {FIRST} {between} {LAST} }}"
    onnx.save(model(text, opset=version), here / "model.onnx")
    succeeded(here.run("calibrate", "model.onnx", "--data", "imgs"))
    succeeded(here.run("insert"))
    onnx.checker.check_model(str(here / "model.qdq.onnx"), full_check=True)
    outcome = succeeded(
        here.run("verify", "model.onnx", "model.qdq.onnx", "--data", "imgs",
                 "--backend", "onnxruntime", "--min-sqnr", "20")
    )  # fmt: skip
    assert "lint: 0 errors, 0 warnings" in outcome.stdout


def test_brackets_in_names_are_no_markup(here):
    (here / "model.onnx").rename(here / "m[red]o.onnx")
    outcome = succeeded(here.run("calibrate", "m[red]o.onnx", "--data", "imgs"))
    assert "m[red]o.calib.npz: " in outcome.stdout
    (here / "model.calib.npz").unlink()
    (here / "odd.yaml").write_text(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "  - {id: '[/x]', why: w, match: {op: Gemm}, skip: all}\n"
    )
    outcome = succeeded(here.run("insert", "--rules", "odd.yaml"))
    assert "rule '[/x]' matched nothing" in outcome.stderr


def test_half_precision_model(here):
    half = TensorProto.FLOAT16
    node = helper.make_node("Relu", ["x"], ["y"])
    values = [helper.make_tensor_value_info(n, half, [1, 3, 4, 4]) for n in "xy"]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph), here / "model.onnx")
    here.refuses("OQ306", "calibrate", "model.onnx", "--data", "imgs")


def test_input_that_is_no_tensor(here):
    proto = model(f"g ({PICTURE}) => (float y) <float[4,3,3,3] w> {{ y = Conv (x, w) }}")
    inner = helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
    proto.graph.input.append(helper.make_value_info("s", helper.make_sequence_type_proto(inner)))
    onnx.save(proto, here / "model.onnx")
    here.refuses("OQ404", "calibrate", "model.onnx", "--data", "imgs")


def test_a_function_that_calls_itself(here):
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "mine" : 1]> g (float[2,4] x) => (float[2,4] y)'
        ' { y = mine.f (x) } <domain: "mine", opset_import: ["" : 17, "mine" : 1]>'
        " f (i) => (o) { t = mine.f (i) o = MatMul (t, t) }"
    )
    onnx.save(proto, here / "model.onnx")
    here.refuses("OQ561", "plan", "model.onnx")


FUNCTION = f"""
<ir_version: 8, opset_import: ["" : 17, "mine" : 1]>
g ({PICTURE}) => (float[1,4,16,16] y) <float[4,3,3,3] w> {{ y = mine.block (x, w) }}
<domain: "mine", opset_import: ["" : 17]>
block (i, k) => (o) {{ [conv] t = Conv <pads = [1,1,1,1]> (i, k) o = Relu (t) }}
"""


def test_a_local_function_is_inlined_and_told(here):
    onnx.save(model(FUNCTION), here / "model.onnx")
    succeeded(here.run("calibrate", "model.onnx", "--data", "imgs"))
    outcome = succeeded(here.run("insert"))
    assert "1 local function inlined: outputs are the same\n" in outcome.stdout
    made = onnx.load(here / "model.qdq.onnx")
    assert not made.functions
    assert [n.op_type for n in made.graph.node].count("DequantizeLinear") == 2
    outcome = succeeded(
        here.run("verify", "model.onnx", "model.qdq.onnx", "--data", "imgs",
                 "--backend", "onnxruntime", "--min-sqnr", "20")
    )  # fmt: skip
    assert "lint: 0 errors, 0 warnings" in outcome.stdout


def test_pairs_in_a_local_function_are_pairs_of_the_model(here):
    stored, pair = "w, float s = {0.02}, int8 z = {0}", "q = QuantizeLinear (i, s, z)"
    text = FUNCTION.replace("w>", f"{stored}>").replace("(x, w)", "(x, w, s, z)")
    text = text.replace("(i, k) => (o) {", "(i, k, s, z) => (o) { " + pair)
    text = text.replace("(i, k) o", "(j, k) o").replace("[conv]", "j = DequantizeLinear (q, s, z)")
    onnx.save(model(text), here / "model.onnx")
    here.refuses("OQ303", "calibrate", "model.onnx", "--data", "imgs")
    outcome = succeeded(here.run("plan", "model.onnx", "--existing", "keep"))
    assert "1 of 1 weighted ops quantized" in outcome.stdout
    strip = ("--existing", "strip")
    succeeded(here.run("calibrate", "model.onnx", "--data", "imgs", *strip))
    outcome = succeeded(here.run("insert", *strip))
    assert "OQ532" not in outcome.stderr
    made = onnx.load(here / "model.qdq.onnx")
    assert [n.op_type for n in made.graph.node].count("QuantizeLinear") == 1


def test_missing_external_data(here):
    proto = onnx.load(here / "model.onnx")
    onnx.save(
        proto, here / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    (here / "w.bin").unlink()
    assert "w.bin" in here.refuses("OQ301", "calibrate", "model.onnx", "--data", "imgs")


@pytest.mark.parametrize("name", ["w.bin", "model.onnx", "model.calib.npz", "rules.yaml"])
def test_nothing_that_is_read_is_written_over(here, name):
    proto = onnx.load(here / "model.onnx")
    onnx.save(
        proto, here / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    succeeded(here.run("calibrate", "model.onnx", "--data", "imgs"))
    here.refuses("OQ502", "insert", "--rules", "rules.yaml", "-o", name)
    if name != "model.calib.npz":
        here.refuses("OQ502", "plan", "model.onnx", "--rules", "rules.yaml", "-o", name)


def test_a_vector_as_weight_has_one_scale(here):
    text = """
    g (float[1,3,16,16] x) => (float[1,3,16] y) <float[16] w> { y = MatMul (x, w) }
    """
    onnx.save(model(text), here / "model.onnx")
    succeeded(here.run("calibrate", "model.onnx", "--data", "imgs"))
    outcome = succeeded(here.run("insert"))
    assert not outcome.stderr
    assert "1 of 1 weighted ops quantized" in outcome.stdout
    scales = {t.name: list(t.dims) for t in onnx.load(here / "model.qdq.onnx").graph.initializer}
    assert scales["w_scale"] == []


def test_verify_with_the_models_swapped_or_without_pairs(finished):
    options = ("--data", "imgs", "--backend", "onnxruntime")
    finished.refuses("OQ603", "verify", "model.qdq.onnx", "model.onnx", *options)
    finished.refuses("OQ621", "verify", "model.onnx", "model.onnx", *options, exit_code=1)


def test_no_threshold_is_met_by_nan(finished):
    options = ("--data", "imgs", "--backend", "onnxruntime", "--min-sqnr", "nan")
    finished.refuses("OQ654", "verify", "model.onnx", "model.qdq.onnx", *options)


def test_nodes_of_one_name_can_be_verified(here):
    proto = onnx.load(here / "model.onnx")
    proto.graph.node[2].name = proto.graph.node[0].name
    onnx.save(proto, here / "model.onnx")
    succeeded(here.run("calibrate", "model.onnx", "--data", "imgs"))
    succeeded(here.run("insert"))
    succeeded(
        here.run("verify", "model.onnx", "model.qdq.onnx", "--data", "imgs",
                 "--backend", "onnxruntime")
    )  # fmt: skip


def test_arrays_beside_pictures(here):
    for name in ("one", "two", "three"):  # as many as pictures
        np.save(here / "imgs" / f"{name}.npy", np.zeros((1, 3, 16, 16), np.float32))
    here.refuses("OQ401", "calibrate", "model.onnx", "--data", "imgs")


def test_a_calibration_is_no_data(here):
    succeeded(here.run("calibrate", "model.onnx", "--data", "."))
    succeeded(here.run("calibrate", "model.onnx", "--data", "."))


def test_options_that_exclude_each_other(here):
    succeeded(here.run("plan", "model.onnx", "-o", "saved.plan"))
    here.refuses("OQ217", "insert", "--plan", "saved.plan", "--rules", "rules.yaml")
    here.refuses("OQ217", "plan", "model.onnx", "--check", "saved.plan", "--diff", "yolo")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("input[0]", "input[zero]"),
        ("input[0]", "input[-1]"),
        ("input[0]", "input[7]"),
        ("trt-int8.yaml:", "trt-int8.yaml"),
        ("first  ", '"first\\q"  '),
        ("int8:per_tensor", "int9:per_tensor"),
        ("# onnxq plan 1", "# onnxq plan 9"),
        ("# model ", "# model 0"),
    ],
)
def test_damaged_plan(here, old, new):
    succeeded(here.run("plan", "model.onnx", "-o", "saved.plan"))
    text = (here / "saved.plan").read_text()
    (here / "saved.plan").write_text(text.replace(old, new, 1))
    if (here / "saved.plan").read_text() == text:
        pytest.fail(f"{old} is not in the plan:\n{text}")
    here.refuses("OQ212", "insert", "--plan", "saved.plan")


@pytest.mark.parametrize("word", ["input[0]", "improve:"])
def test_plan_that_decides_something_twice(here, word):
    succeeded(here.run("plan", "model.onnx", "-o", "saved.plan"))
    lines = (here / "saved.plan").read_text().splitlines()
    twice = next(line for line in lines if word in line)
    (here / "saved.plan").write_text("\n".join([*lines, twice]) + "\n")
    here.refuses("OQ212", "insert", "--plan", "saved.plan")


def test_a_saved_plan_gives_the_model_of_its_rules(here):
    succeeded(here.run("plan", "model.onnx", "--rules", "rules.yaml", "-o", "saved.plan"))
    succeeded(here.run("insert", "--plan", "saved.plan", "-o", "by-plan.onnx"))
    succeeded(here.run("insert", "--rules", "rules.yaml", "-o", "by-rules.onnx"))
    assert (here / "by-plan.onnx").read_bytes() == (here / "by-rules.onnx").read_bytes()
    succeeded(here.run("plan", "model.onnx", "--rules", "rules.yaml", "--check", "saved.plan"))
    outcome = here.run("plan", "model.onnx", "--rules", "trt-int8", "--check", "saved.plan")
    assert outcome.returncode == 1
    assert "OQ215" in outcome.stderr


def test_check_compares_before_anything_is_written(here):
    rules = ("plan", "model.onnx", "--rules")
    succeeded(here.run(*rules, "rules.yaml", "-o", "saved.plan"))
    outcome = here.run(*rules, "trt-int8", "--check", "saved.plan", "-o", "saved.plan")
    assert outcome.returncode == 1
    assert "commit the new one" in outcome.stderr
    succeeded(here.run(*rules, "trt-int8", "--check", "saved.plan"))
    (here / "broken.plan").write_text("no plan")
    pages = ("--check", "broken.plan", "--html", "page.html")
    here.refuses("OQ212", *rules, "trt-int8", *pages, "-o", "new.plan")
    assert not any((here / name).exists() for name in ("page.html", "new.plan"))


def test_verify_without_data_still_compares_inputs_and_outputs(finished):
    proto = onnx.load(finished / "model.onnx")
    proto.graph.output[0].name = proto.graph.node[-1].output[0] = "z"
    onnx.save(proto, finished / "other.onnx")
    finished.refuses("OQ603", "verify", "other.onnx", "model.qdq.onnx", "--backend", "onnxruntime")


def test_damaged_record_of_the_preprocessing(finished):
    proto = onnx.load(finished / "model.qdq.onnx")
    (entry,) = (p for p in proto.metadata_props if p.key == "onnxq.preprocess")
    entry.value = '{"resize": "sideways"}'
    onnx.save(proto, finished / "model.qdq.onnx")
    finished.refuses("OQ406", "verify", "model.onnx", "model.qdq.onnx", "--data", "imgs")


def test_a_linked_model_keeps_the_name_of_the_link(here):
    (here / "store").mkdir()
    (here / "model.onnx").rename(here / "store" / "blob")
    (here / "linked.onnx").symlink_to("store/blob")
    (here / "model.calib.npz").unlink()
    succeeded(here.run("calibrate", "linked.onnx", "--data", "imgs"))
    succeeded(here.run("insert", "--rules", "rules.yaml"))
    assert (here / "linked.qdq.onnx").is_file()


def test_explain_works_where_the_plan_does_not(here):
    (here / "bad.yaml").write_text(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "  - {id: lstm, why: w, match: {op: LSTM}, skip: all, required: true}\n"
    )
    here.refuses("OQ201", "plan", "model.onnx", "--rules", "bad.yaml", lines=3)
    outcome = succeeded(here.run("explain", "model.onnx", "lstm", "--rules", "bad.yaml"))
    assert "no node has an op that it could match" in outcome.stdout
    outcome = succeeded(here.run("explain", "model.onnx", "first", "--rules", "bad.yaml"))
    assert "decided by weighted-ops" in outcome.stdout


def test_an_op_with_a_float_weight_is_not_counted_as_quantized(here):
    (here / "half.yaml").write_text(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "  - {id: half, why: w, match: {op: Conv, name: first}, skip: weights}\n"
    )
    outcome = succeeded(here.run("plan", "model.onnx", "--rules", "half.yaml"))
    assert "1 of 2 weighted ops quantized" in outcome.stdout


def test_filters_hold_for_differences_too(here):
    outcome = succeeded(
        here.run("plan", "model.onnx", "--rules", "rules.yaml", "--diff", "trt-int8",
                 "--only", "second")
    )  # fmt: skip
    summary, lines = outcome.stdout.split("\n\n")
    assert summary.startswith("1 Conv ")
    assert all(line[1:].startswith("second ") for line in lines.splitlines())
    here.refuses("OQ214", "plan", "model.onnx", "--only", "nobody")


def test_calibrating_for_rules_tells_what_they_miss(here):
    (here / "miss.yaml").write_text(
        "schema: 1\nextends: trt-int8\nrules:\n"
        "  - {id: gone, why: w, match: {op: Gemm}, skip: all}\n"
    )
    outcome = succeeded(
        here.run("calibrate", "model.onnx", "--data", "imgs", "--rules", "miss.yaml")
    )
    assert "warning[OQ201]: rule 'gone' matched nothing" in outcome.stderr


def with_external_data(here):
    text = f"g ({PICTURE}) => (float y) <float[64,3,3,3] w> {{ y = Conv (x, w) }}"
    proto = model(text)
    onnx.save(
        proto, here / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    succeeded(here.run("calibrate", "model.onnx", "--data", "imgs"))


def test_external_data_stays_external(here):
    with_external_data(here)
    before = {name: (here / name).read_bytes() for name in ("model.onnx", "w.bin")}
    succeeded(here.run("insert", "--rules", "rules.yaml", "-o", "out.onnx", "--weights", "qdq"))
    assert (here / "out.onnx.data").is_file()
    onnx.checker.check_model(str(here / "out.onnx"), full_check=True)
    succeeded(
        here.run("verify", "model.onnx", "out.onnx", "--data", "imgs", "--backend", "onnxruntime")
    )
    assert {name: (here / name).read_bytes() for name in before} == before
    assert {p.name for p in here.files() if "out" in p.name} == {"out.onnx", "out.onnx.data"}


def test_the_data_of_the_output_is_none_of_the_inputs(here):
    with_external_data(here)
    (here / "w.bin").rename(here / "out.onnx.data")
    proto = onnx.load(here / "model.onnx", load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            entry.value = entry.value.replace("w.bin", "out.onnx.data")
    (here / "model.onnx").write_bytes(proto.SerializeToString())
    succeeded(here.run("calibrate", "model.onnx", "--data", "imgs"))
    assert "out.onnx.data" in here.refuses("OQ502", "insert", "-o", "out.onnx")


def test_dimensions_called_by_a_mark_are_no_names(here):
    made = model(MODEL.replace("float[1,3,16,16] x", "float[N,3,H,W] x"))
    for dim in (made.graph.input[0].type.tensor_type.shape.dim[i] for i in (2, 3)):
        dim.dim_param = "?"
    onnx.save(made, here / "model.onnx")
    shape = ("--shape", "x:1x3x16x24")
    succeeded(here.run("calibrate", "model.onnx", "--data", "imgs", *shape))
    succeeded(here.run("insert"))
    dims = onnx.load(here / "model.qdq.onnx").graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["N", 3, 0, 0]
    told = succeeded(here.run("verify", "model.onnx", "model.qdq.onnx", "--data", "imgs"))
    assert "MACs in int8: 100.0%" in told.stdout
    assert told.stderr == ""


def test_an_edited_plan_says_so(here):
    succeeded(here.run("plan", "model.onnx", "--rules", "rules.yaml", "-o", "saved.plan"))
    as_it_was = succeeded(here.run("insert", "--plan", "saved.plan", "-o", "one.onnx"))
    assert "by hand" not in as_it_was.stdout
    text = (here / "saved.plan").read_text()
    other_rule = text.replace("  convs  ", "  somebody's  ")  # nothing is decided otherwise
    assert other_rule != text
    (here / "saved.plan").write_text(other_rule)
    told = succeeded(here.run("insert", "--plan", "saved.plan", "-o", "two.onnx")).stdout
    assert "by hand" not in told
    (here / "saved.plan").write_text(text.replace("int8:per_tensor:max", "float", 1))
    told = succeeded(here.run("insert", "--plan", "saved.plan", "-o", "three.onnx")).stdout
    assert "recipe rules, its plan edited by hand, calibration model.calib.npz" in told
    command = ("verify", "model.onnx", "three.onnx", "--backend", "onnxruntime")
    assert "recipe rules, its plan edited by hand\n" in here.run(*command).stdout
    made_by = [metadata_of(onnx.load(here / f"{name}.onnx")) for name in ("one", "two", "three")]
    assert [m.get("edited") for m in made_by] == [None, None, "by hand"]
    assert made_by[0]["plan"] == made_by[1]["plan"] != made_by[2]["plan"]


def test_a_plan_without_its_digest_counts_as_edited(here):
    succeeded(here.run("plan", "model.onnx", "--rules", "rules.yaml", "-o", "saved.plan"))
    lines = (here / "saved.plan").read_text().splitlines(keepends=True)
    (here / "saved.plan").write_text("".join(x for x in lines if "# decisions" not in x))
    assert "by hand" in succeeded(here.run("insert", "--plan", "saved.plan")).stdout
