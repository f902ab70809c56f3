"""Small valid float models as people bring them, for hypothesis."""

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

INPUT = (1, 4, 6, 6)
_SHAPES = {"x": INPUT}


class _Drawing:
    """A model while it is drawn: what there is to read, with shapes, and what was made."""

    def __init__(self, draw):
        self.draw = draw
        self.shapes = dict(_SHAPES)
        self.nodes, self.initializers = [], []
        self.rng = np.random.default_rng(draw(st.integers(0, 2**16)))
        self.weights = {}  # shape -> names, so that ops can share one

    def any_of(self, found):
        return self.draw(st.sampled_from(list(found)))

    def tensor(self, *, rank=None, shape=None):
        """The name of a tensor; None when there is none of that rank or shape."""
        fit = [
            name
            for name, s in self.shapes.items()
            if (rank is None or len(s) == rank) and (shape is None or s == shape)
        ]
        return self.any_of(fit) if fit else None

    def constant(self, array):
        """A weight: an initializer, a Constant node, or one that reaches its op through a node."""
        name = f"c{len(self.initializers)}_{len(self.nodes)}"
        way = self.any_of(["stored", "stored", "stored", "node", "Identity", "Transpose", "Cast"])
        if way == "node":
            value = numpy_helper.from_array(array, name)
            self.nodes.append(helper.make_node("Constant", [], [name], value=value))
            return name
        attributes, source = {}, array
        if way == "Transpose":
            attributes, source = {"perm": [*range(array.ndim)][::-1]}, array.T
        if way == "Cast":
            attributes, source = {"to": TensorProto.FLOAT}, array.astype(np.float16)
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(source), name))
        if way == "stored":
            return name
        self.nodes.append(helper.make_node(way, [name], [f"{name}_made"], **attributes))
        return f"{name}_made"

    def stored(self, array):
        """An initializer."""
        name = f"s{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, *shape):
        """A new weight or one that another op has too; some have channels of zeros."""
        known = self.weights.setdefault(shape, [])
        if known and self.draw(st.booleans()):
            return self.any_of(known)
        array = self.rng.normal(size=shape).astype(np.float32)
        if self.draw(st.booleans()):
            array[0] = 0
        known.append(self.constant(array))
        return known[-1]

    def add(self, op, inputs, shape, **attributes):
        out = f"t{len(self.nodes)}"
        name = self.any_of(["", f"{op}_{len(self.nodes)}", "twice"])
        self.nodes.append(helper.make_node(op, inputs, [out], name=name, **attributes))
        self.shapes[out] = shape


def _conv(d):
    x = d.tensor(rank=4)
    if x is None:
        return
    n, c, h, w = d.shapes[x]
    group = d.any_of([g for g in (1, 2, c) if c % g == 0])
    out = d.any_of([group, 2 * group])
    inputs = [x, d.weight(out, c // group, 3, 3)]
    if d.draw(st.booleans()):
        inputs.append(d.weight(out))
    d.add("Conv", inputs, (n, out, h, w), pads=[1, 1, 1, 1], group=group)


def _conv_transpose(d):
    x = d.tensor(rank=4)
    if x is not None and (shape := d.shapes[x])[2] < 20:
        n, c, h, w = shape
        made = (n, 3, 2 * h, 2 * w)
        d.add("ConvTranspose", [x, d.weight(c, 3, 2, 2)], made, strides=[2, 2])


def _gemm(d):
    x = d.tensor(rank=2)
    if x is None:
        return
    m, k = d.shapes[x]
    turned = d.draw(st.booleans())
    inputs = [x, d.weight(*((3, k) if turned else (k, 3)))]
    if d.draw(st.booleans()):
        inputs.append(d.weight(3))
    d.add("Gemm", inputs, (m, 3), transB=int(turned), alpha=d.any_of([1.0, 0.5]), beta=2.0)


def _matmul(d):
    x = d.tensor()
    shape = d.shapes[x]
    if d.draw(st.booleans()):
        d.add("MatMul", [x, d.weight(shape[-1], 3)], (*shape[:-1], 3))
    else:
        d.add("MatMul", [d.weight(3, shape[-2]), x], (*shape[:-2], 3, shape[-1]))


def _two_activations(d):
    x = d.tensor(rank=2)
    if x is not None:
        m, _ = d.shapes[x]
        d.nodes.append(helper.make_node("Transpose", [x], [f"{x}_{len(d.nodes)}"]))
        d.add("MatMul", [x, d.nodes[-1].output[0]], (m, m))


def _add(d):
    x = d.tensor()
    other = d.tensor(shape=d.shapes[x])
    d.add(d.any_of(["Add", "Mul"]), [x, other], d.shapes[x])


def _concat(d):
    x = d.tensor()
    shape = d.shapes[x]
    if shape[-1] < 20:
        d.add("Concat", [x, d.tensor(shape=shape)], (*shape[:-1], 2 * shape[-1]), axis=-1)


def _elementwise(d):
    x = d.tensor()
    d.add(d.any_of(["Relu", "Sigmoid", "Identity"]), [x], d.shapes[x])


def _clip(d):
    x = d.tensor()
    d.add("Clip", [x, "", d.stored(np.float32(1))], d.shapes[x])  # an absent optional input


def _pool(d):
    x = d.tensor(rank=4)
    if x is not None:
        op = d.any_of(["MaxPool", "AveragePool"])
        d.add(op, [x], d.shapes[x], kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def _transpose(d):
    x = d.tensor()
    rank = len(d.shapes[x])
    perm = d.draw(st.permutations(range(rank)))
    d.add("Transpose", [x], tuple(d.shapes[x][p] for p in perm), perm=perm)


def _flatten(d):
    x = d.tensor()
    shape = d.shapes[x]
    size = int(np.prod(shape))
    target = d.stored(np.array([size // shape[-1], -1], np.int64))
    d.add("Reshape", [x, target], (size // shape[-1], shape[-1]))


_STEPS = [
    _conv, _conv, _conv_transpose, _gemm, _gemm, _matmul, _matmul, _two_activations, _add,
    _concat, _elementwise, _clip, _pool, _transpose, _flatten,
]  # fmt: skip


def _scaled_up_and_down(d):
    """Values that FP16 cannot hold, between values that it can."""
    x = d.tensor()
    shape = d.shapes[x]
    d.add("Mul", [x, d.stored(np.float32(d.any_of([2e4, 3e4, 6e4])))], shape)
    large = f"t{len(d.nodes) - 1}"
    d.add(d.any_of(["Relu", "Identity", "Neg"]), [large], shape)
    d.add("Mul", [f"t{len(d.nodes) - 1}", d.stored(np.float32(1e-4))], shape)
    if d.draw(st.booleans()):
        del d.shapes[large]  # no further op reads it


def _decorated(draw, model):
    """What is not wiring: notes, metadata, types of inner values, initializers nobody reads."""
    model.producer_name = draw(st.sampled_from(["", "somebody"]))
    model.doc_string = draw(st.sampled_from(["", "a note"]))
    for node in model.graph.node:
        node.doc_string = draw(st.sampled_from(["", "of a node"]))
    if draw(st.booleans()):
        model.metadata_props.add(key="classes", value="cat,dog")
        unread = numpy_helper.from_array(np.arange(3, dtype=np.float32), "nobody_reads_this")
        model.graph.initializer.append(unread)
    if draw(st.booleans()):
        model = onnx.shape_inference.infer_shapes(model)
    return model


def _two_products(d):
    """The second has a weight that INT4 blocks divide."""
    x = d.tensor()
    *before, last = d.shapes[x]
    d.add("MatMul", [x, d.weight(last, 64)], (*before, 64))
    turned = d.draw(st.booleans())
    if turned and len(before) == 1:
        d.add("Gemm", [f"t{len(d.nodes) - 1}", d.weight(5, 64)], (*before, 5), transB=1)
    else:
        d.add("MatMul", [f"t{len(d.nodes) - 1}", d.weight(64, 5)], (*before, 5))


@st.composite
def float_models(draw, opset=17, wide=False, large=False):
    """Conv, ConvTranspose, Gemm, MatMul, Add, Mul, Concat, pools, Reshape, Transpose and others.

    Weights are shared, stored, in Constant nodes or computed; some nodes have no name or one that
    others have; outputs may be inner values; input x is float[1,4,6,6]. `wide` models end in a
    product that sums over 64 values, `large` ones have values beyond 65504.
    """
    drawing = _Drawing(draw)
    for _ in range(draw(st.integers(1, 8))):
        draw(st.sampled_from(_STEPS))(drawing)
    if large:
        _scaled_up_and_down(drawing)
        draw(st.sampled_from(_STEPS))(drawing)
    if wide:
        _two_products(drawing)
    made = [name for name in drawing.shapes if name != "x"]
    if not made:
        _conv(drawing)
        made = [name for name in drawing.shapes if name != "x"]
    outputs = draw(st.lists(st.sampled_from(made), min_size=1, max_size=3, unique=True))
    if made[-1] not in outputs:
        outputs.append(made[-1])
    graph = helper.make_graph(
        drawing.nodes,
        "drawn",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, INPUT)],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, drawing.shapes[o]) for o in outputs],
        drawing.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model = _decorated(draw, model)
    onnx.checker.check_model(model, full_check=True)
    return model
