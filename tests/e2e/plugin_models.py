"""Detectors with ops that only a plugin of TensorRT or a library of onnxruntime has."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

from tests.compiled.yolo_like import yolo

DETECTIONS = {
    "num_dets": (TensorProto.INT32, [1, 1]),
    "det_boxes": (TensorProto.FLOAT, [1, 10, 4]),
    "det_scores": (TensorProto.FLOAT, [1, 10]),
    "det_classes": (TensorProto.INT32, [1, 10]),
}


def detector():
    """A YOLOv8 whose outputs are boxes [1, n, 4] and scores [1, n, classes]."""
    model = onnx.ModelProto()
    model.CopyFrom(yolo("v8"))
    graph = model.graph
    bounds = {"first": [0], "middle": [4], "last": [2**31], "axis": [2]}
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), name) for name, value in bounds.items()
    )
    graph.node.extend(
        [
            helper.make_node("Transpose", [graph.output[0].name], ["rows"], perm=[0, 2, 1]),
            helper.make_node("Slice", ["rows", "first", "middle", "axis"], ["boxes"]),
            helper.make_node("Slice", ["rows", "middle", "last", "axis"], ["scores"]),
        ]
    )
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("boxes", "scores")
    )
    return model


def with_nms(domain):
    """The detector as exports for TensorRT end, in the domain TRT or in ONNX's own."""
    model = detector()
    del model.graph.output[:]
    options = {
        "plugin_version": "1",
        "background_class": -1,
        "max_output_boxes": 10,
        "score_threshold": 0.25,
        "iou_threshold": 0.45,
        "score_activation": 0,
        "box_coding": 1,
    }
    model.graph.node.append(
        helper.make_node(
            "EfficientNMS_TRT",
            ["boxes", "scores"],
            list(DETECTIONS),
            "nms",
            domain=domain,
            **options,
        )
    )
    model.graph.output.extend(
        helper.make_tensor_value_info(name, *kind) for name, kind in DETECTIONS.items()
    )
    if domain:
        model.opset_import.add(domain=domain, version=1)
    return model


def with_custom_op():
    """The detector with com.example::Twice in front of the Conv in the middle of its list."""
    model = detector()
    nodes = model.graph.node
    convs = [place for place, node in enumerate(nodes) if node.op_type == "Conv"]
    conv = nodes[convs[len(convs) // 2]]
    twice = helper.make_node("Twice", [conv.input[0]], ["doubled"], "twice", domain="com.example")
    conv.input[0] = "doubled"
    nodes.insert(convs[len(convs) // 2], twice)
    model.opset_import.add(domain="com.example", version=1)
    return model


def small(text):
    """A model of ONNX text whose weights `w` and `v` get random values."""
    model = parser.parse_model(text)
    rng = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        if tensor.name in ("w", "v"):
            values = rng.normal(size=tuple(tensor.dims)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


CHAIN = """
<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>
chain (float[1,3,16,16] x) => (float[1,8,16,16] beside, float[1,6,16,16] y)
    <float[8,3,3,3] w = {0}, float[6,8,1,1] v = {0}> {
    [c1] a = Conv <pads = [1,1,1,1]> (x, w)
    [r] r = Relu (a)
    beside = Sigmoid (r)
    [op] b = OP (r)
    [c2] y = Conv (b, v)
}
"""
IN_AN_IF = """If (t) <
        then_branch = yes () => (float[1,8,16,16] p) { [in] p = com.example.Twice (r) },
        else_branch = no () => (float[1,8,16,16] q) { q = Identity (r) }
    >"""
FIRST = """
<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>
first (float[1,3,16,16] x) => (float[1,8,16,16] y) <float[8,3,3,3] w = {0}> {
    [op] p = com.example.Twice (x)
    [c1] y = Conv <pads = [1,1,1,1]> (p, w)
}
"""
OLD = """
<ir_version: 7, opset_import: ["" : 11]>
old (float[1,3,16,16] x) => (int32[1,1] n)
    <float[8,3,3,3] w = {0}, float[6,8,1,1] v = {0}, int64[3] s = {1,6,256}> {
    [c1] a = Conv <pads = [1,1,1,1]> (x, w)
    [r] r = Relu (a)
    [c2] c = Conv (r, v)
    d = Reshape (c, s)
    e = Transpose <perm = [0,2,1]> (d)
    boxes, scores = Split <axis = 2, split = [4,2]> (e)
    [nms] n, b, p, k = BatchedNMSDynamic_TRT <plugin_version = "1"> (boxes, scores)
}
"""


def chain():
    """Two Convs with the custom op between them, and an output beside it."""
    return small(CHAIN.replace("OP (r)", "com.example.Twice (r)"))


def in_an_if():
    """The same, with the custom op in a branch of an If."""
    text = CHAIN.replace("OP (r)", IN_AN_IF).replace("<float[8", "<bool t = {1}, float[8")
    return small(text)


def behind_the_input():
    """A custom op in front of everything else."""
    return small(FIRST)


def of_opset_11():
    """A plugin in ONNX's own domain, in a model whose opset must be raised."""
    return small(OLD)
