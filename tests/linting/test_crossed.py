"""Which ops a DequantizeLinear is moved across: the table, lint and real engines say the same.

Each model has a pair in front of some ops only, and behind each of them a Conv or a MatMul that is
int8 where the pair reaches it.
"""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, shape_inference

from onnxq.linting import predict
from onnxq.model.ops import PRODUCTS, TRAITS
from tests.compiled.engine import layers_of

from .examples import model

X = "float[1,32,16,16]"
CONSTANTS = """
    float s = {0.05}, float s1 = {0.06}, int8 z = {0}, float zero = {0}, float one = {1},
    int8[32,32,3,3] w = fill, float[32] ws = fill(0.002), int8[32] wz = fill(0),
    int64[4] twice = {2,32,16,16}, int64[8] eight = {1,2,3,4,5,6,7,8}, int64[1] n8 = {8},
    int64[8] pads = {0,0,1,1,0,0,1,1}, int64[4] halves = {1,64,16,8}, int64[1] end = {16},
    int64[1] first = {0}, int64[1] second = {1}, int64[4] repeats = {1,1,2,1},
    int64[1,32,16,16] places = fill(3), int64[1,1] place = {0}, int64[1] length = {20},
    float[4] doubled = {1,1,2,2}, float[8] roi = fill(0), int64[1] last = {3},
    float[32] many = fill(1), float[1,32,16,16] other = fill(0.5)
"""
NEAREST = 'mode = "nearest", nearest_mode = "floor", coordinate_transformation_mode = "asymmetric"'

CROSSED = {
    "Abs": "Abs (d)",
    "Concat": "Concat <axis = 1> (d, d)",
    "DepthToSpace": "DepthToSpace <blocksize = 2> (d)",
    "Dropout": "Dropout (d)",
    "Expand": "Expand (d, twice)",
    "Flatten": "Flatten <axis = 3> (d)",
    "Gather": "Gather <axis = 1> (d, eight)",
    "GatherElements": "GatherElements <axis = 1> (d, places)",
    "GatherND": "GatherND (d, place)",
    "GlobalMaxPool": "GlobalMaxPool (d)",
    "Identity": "Identity (d)",
    "Max": "Max (d, e)",
    "MaxPool": "MaxPool <kernel_shape = [2,2]> (d)",
    "Min": "Min (d, e)",
    "Neg": "Neg (d)",
    "Pad": "Pad (d, pads, zero)",
    "ReduceMax": "ReduceMax (d, last)",
    "ReduceMin": "ReduceMin (d, last)",
    "Reshape": "Reshape (d, halves)",
    "Slice": "Slice (d, first, end, second)",
    "SpaceToDepth": "SpaceToDepth <blocksize = 2> (d)",
    "Split": "Split <axis = 1, num_outputs = 2> (d)",
    "Squeeze": "Squeeze (d5, first)",
    "Tile": "Tile (d, repeats)",
    "TopK": "TopK <axis = 1> (d, n8)",
    "Transpose": "Transpose <perm = [0,1,3,2]> (d)",
    "Unsqueeze": "Unsqueeze (d, first)",
    "Where": "Where (b, d, e)",
}
ALSO_CROSSED = {
    "Pad with the edge": 'Pad <mode = "edge"> (d, pads)',
    "Pad with a reflection": 'Pad <mode = "reflect"> (d, pads, one)',
    "Pad with nothing said": "Pad (d, pads)",
}
STOPS = {
    "Add": "Add (d, other)",
    "AveragePool": "AveragePool <kernel_shape = [2,2]> (d)",
    "BatchNormalization": "BatchNormalization (d, many, many, many, many)",
    "Clip": "Clip (d, zero, one)",
    "Cos": "Cos (d)",
    "Elu": "Elu (d)",
    "Erf": "Erf (d)",
    "Exp": "Exp (d)",
    "GlobalAveragePool": "GlobalAveragePool (d)",
    "HardSigmoid": "HardSigmoid (d)",
    "HardSwish": "HardSwish (d)",
    "LeakyRelu": "LeakyRelu (d)",
    "Mish": "Mish (d)",
    "PRelu": "PRelu (d, s)",
    "ReduceMean": "ReduceMean (d, last)",
    "Relu": "Relu (d)",
    "Resize": f"Resize <{NEAREST}> (d, roi, doubled)",
    "ReverseSequence": "ReverseSequence <batch_axis = 0, time_axis = 1> (d, length)",
    "Sigmoid": "Sigmoid (d)",
    "Softmax": "Softmax (d)",
    "Sin": "Sin (d)",
    "Softplus": "Softplus (d)",
    "Softsign": "Softsign (d)",
    "Sum": "Sum (d, other)",
    "Tanh": "Tanh (d)",
}
ALSO_STOPS = {
    "Pad with a value": "Pad (d, pads, one)",
    "Max of a constant": "Max (d, one)",
    "Max of unequal scales": "Max (d, u)",
    "Where of unequal scales": "Where (b, d, u)",
    "Concat of unequal scales": "Concat <axis = 1> (d, u)",
}
CALLS = CROSSED | ALSO_CROSSED | STOPS | ALSO_STOPS


def example(names):
    """A model with one branch for each op, which ends in a product of the op's name."""
    outputs = {"Split": "{0}, {0}_", "TopK": "{0}, {0}_"}
    results = {name: f"r{number}" for number, name in enumerate(names)}
    calls = "\n".join(
        f"{outputs.get(n, '{}').format(result)} = {CALLS[n]}" for n, result in results.items()
    )
    proto = model(
        f"""test ({X} x, {X} y, bool[1,32,16,16] b) => ({X} c) <{CONSTANTS}> {{
            xq = QuantizeLinear (x, s, z) xd = DequantizeLinear (xq, s, z)
            wd = DequantizeLinear <axis = 0> (w, ws, wz)
            [conv] c = Conv <pads = [1,1,1,1]> (xd, wd)
            q = QuantizeLinear (c, s1, z) d = DequantizeLinear (q, s1, z)
            d5 = Unsqueeze (d, first)
            eq = QuantizeLinear (y, s1, z) e = DequantizeLinear (eq, s1, z)
            uq = QuantizeLinear (y, s, z) u = DequantizeLinear (uq, s, z)
            {calls}
        }}""",
        opset=18,
    )
    inferred = shape_inference.infer_shapes(proto, data_prop=True).graph.value_info
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in inferred}
    for name, result in results.items():
        _add_product(proto.graph, name, result, shapes[result])
    return proto


def _add_product(graph, name, tensor, shape):
    rng = np.random.default_rng(0)
    conv = len(shape) == 4
    sizes = (32, shape[1], 3, 3) if conv else (shape[-1], 32)
    weight = rng.integers(-128, 127, sizes, np.int8)
    graph.initializer.append(numpy_helper.from_array(weight, f"{tensor}_w"))
    inputs = [f"{tensor}_w", "ws", "wz"]
    graph.node.append(
        helper.make_node("DequantizeLinear", inputs, [f"{tensor}_d"], f"{tensor}_dw", axis=not conv)
    )
    op, options = ("Conv", {"pads": [1, 1, 1, 1]}) if conv else ("MatMul", {})
    inputs = [tensor, f"{tensor}_d"]
    graph.node.append(helper.make_node(op, inputs, [f"{tensor}_y"], name, **options))
    kind = onnx.TensorProto.FLOAT
    graph.output.append(helper.make_tensor_value_info(f"{tensor}_y", kind, None))


def test_the_examples_are_those_of_the_table():
    assert CROSSED.keys() == {op for op, row in TRAITS.items() if row.crossed}
    assert STOPS.keys() == {op for op, row in TRAITS.items() if not row.crossed} - PRODUCTS - {
        "Gelu",  # opset 20
        "Swish",  # opset 24
        "Mul",  # by a number it becomes another scale
    }


GROUPS = [list(CALLS)[start : start + 10] for start in range(0, len(CALLS), 10)]


@pytest.mark.parametrize("names", GROUPS, ids=", ".join)
def test_engines_and_lint_agree_on_what_a_pair_crosses(names):
    proto = example(names)
    expected = {n: "int8" if n in CROSSED | ALSO_CROSSED else "float" for n in names}
    predicted = {op.node: op.precision for op in predict(proto).ops if op.node in expected}
    assert predicted == expected
    layers = layers_of(proto)
    assert {name: layers.precision(name) for name in names} == expected
