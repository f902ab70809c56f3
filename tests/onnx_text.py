"""Models as ONNX text: what a test is about stays visible in it.

The text language gives an initializer a value or only a type. Those with only a type, in <...>
after the outputs, get random values here. An output without [...] gets
the shape that onnx infers.
"""

import numpy as np
from onnx import helper, numpy_helper, parser, shape_inference

from onnxq.model.graph import Graph
from onnxq.model.preparing import name_nodes
from onnxq.model.scopes import scopes


def model(text, *, opset=17, seed=0):
    """A ModelProto. `text` is a graph, or a whole model that begins with its own <...>."""
    if not text.lstrip().startswith("<"):
        text = f'<ir_version: 8, opset_import: ["" : {opset}]> {text}'
    proto = parser.parse_model(text)
    rng = np.random.default_rng(seed)
    for _, graph_ in scopes(proto.graph):
        made = {name for node in graph_.node for name in node.output}
        for value in [v for v in graph_.value_info if v.name not in made]:
            kind = value.type.tensor_type
            shape = [d.dim_value for d in kind.shape.dim]
            dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
            values = rng.normal(size=shape).astype(dtype)
            graph_.initializer.append(numpy_helper.from_array(values, value.name))
            graph_.value_info.remove(value)
    bare = [o for o in proto.graph.output if not o.type.tensor_type.shape.dim]
    for output in bare:
        output.type.tensor_type.ClearField("shape")
    inferred = {o.name: o for o in shape_inference.infer_shapes(proto).graph.output} if bare else {}
    for output in bare:
        output.CopyFrom(inferred[output.name])
    return proto


def graph(text, **options):
    """The read-only view of the model, every node with a name."""
    return Graph(name_nodes(model(text, **options)), digest="d")
