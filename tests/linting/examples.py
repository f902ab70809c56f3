"""The YAML files here: good and bad examples of every rule, as ONNX text.

An example names a model of `models.yaml` and says what is different in it, as pairs of a text and
its replacement, or gives a whole `model`. An initializer `int8[8,4,3,3] w = fill` gets random
values, `float[8] s = fill(0.02)` that value throughout.

`finds` are the codes that lint gives, none for a good example. `engine` is what TensorRT-RTX makes
of it: `rejected`, or of each weighted op the precision. `repaired` is what `lint --fix` does:
`same` when the repaired model must give what it gave before, else the largest error in terms of
the largest value of the output.
"""

import re
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from onnx import helper, numpy_helper, parser

from onnxq.model.preparing import name_nodes

HERE = Path(__file__).parent
KEYS = {"name", "base", "change", "model", "finds", "engine", "repaired", "opset", "names"}
_FILL = re.compile(r"(\w+)(?:\[([\d,]+)\])? (\w+)\s*=\s*fill(?:\((.*?)\))?")
_NUMBERS = {"bool", "int4", "uint4"}


@cache
def models():
    return yaml.safe_load((HERE / "models.yaml").read_text())


def examples():
    """Every example with the code of its file."""
    for file in sorted(HERE.glob("OQ*.yaml")):
        for example in yaml.safe_load(file.read_text()):
            assert example.keys() <= KEYS, example
            yield {"code": file.stem.partition("-")[0], "finds": [], **example}


def text_of(example):
    text = example["model"] if "model" in example else models()[example.get("base", "conv")]
    for old, new in example.get("change", {}).items():
        assert old in text, f"{example['name']}: no {old!r} to change"
        text = text.replace(old, new)
    return text


def model_of(example):
    """The ModelProto of an example."""
    return model(text_of(example), opset=example.get("opset", 17), named=example.get("names", True))


def model(text, *, opset=17, named=True):
    """A ModelProto of ONNX text with filled initializers."""
    filled = {m[3]: m for m in _FILL.finditer(text)}
    text = _FILL.sub("", text)
    text = re.sub(r"<[\s,]*>(?=\s*\{)", "", re.sub(r",(\s*,)+", ",", text))
    text = re.sub(r",\s*>(?=\s*\{)", ">", re.sub(r"\)\s*<\s*,", ") <", text))
    text = re.sub(r"\)\s*<,", ") <", text)
    if not text.lstrip().startswith("<"):
        text = f'<ir_version: 10, opset_import: ["" : {opset}, "com.microsoft" : 1]> {text}'
    proto = parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, match in filled.items():
        proto.graph.initializer.append(_filled(rng, name, match))
    for output in proto.graph.output:
        if not output.type.tensor_type.shape.dim:
            output.type.tensor_type.ClearField("shape")
    return name_nodes(proto) if named else proto


def _filled(rng, name, match):
    kind = parser.parse_graph(f"g ({match[1]} a) => ({match[1]} b) {{ b = Identity(a) }}")
    number = kind.input[0].type.tensor_type.elem_type
    dtype = helper.tensor_dtype_to_np_dtype(number)
    shape = [int(d) for d in (match[2] or "").split(",") if d]
    if match[4]:
        values = np.full(shape, float(match[4]))
    elif dtype.kind == "f":
        values = rng.normal(size=shape)
    elif dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = rng.integers(max(limits.min, -128), min(limits.max, 255), shape, endpoint=True)
    else:
        values = rng.integers(-8, 7, shape)
    return numpy_helper.from_array(np.asarray(values).astype(dtype), name)
