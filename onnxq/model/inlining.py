"""Inline local functions, so that every stage sees the nodes in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import onnx
from onnx import defs, helper, inliner

from onnxq.diagnostics import error, first_line
from onnxq.formats import PER_CHANNEL
from onnxq.model import weights
from onnxq.model.ops import PRODUCTS, domain_of, type_of
from onnxq.model.pairs import PAIR_TYPES
from onnxq.model.scopes import all_nodes

_MOST: Final = 10_000_000  # nodes; a large exported model has 100,000
WORTH: Final = PRODUCTS | PAIR_TYPES  # a function with one of these is inlined


def inline_functions(model: onnx.ModelProto, path: object = "the model") -> onnx.ModelProto:
    """Replace calls of local functions by the nodes of the functions, in place (OQ561).

    onnx.inliner does it, on a copy without weights. Inner nodes keep their names, doc strings and
    metadata; numbers make names of nodes and of tensors unique, the same on every run. Three kinds
    of functions stay: those without a product and a pair, which are ops to a recipe or a plugin;
    those with the name of a standard operator, which onnxruntime computes instead; and those that
    need operators of another version than the model's. Functions without a call are removed.
    """
    if not model.functions:
        return model
    _require_few(model, path)
    work = weights.light(model)
    versions = _import_domains(work)
    worth = _worth_it(work)
    old = versions.get("", 0) < PER_CHANNEL  # the opset will be raised, but not in functions
    kept = [
        f for f in work.functions if (_id(f) not in worth and not old) or _is_standard(f, versions)
    ]
    for function in kept:
        work.functions.remove(function)
    for function in work.functions:
        _align(function, versions)
        _separate_outputs(function)
    _state_defaults(work)
    try:
        inlined = inliner.inline_local_functions(work)
    except Exception as reason:  # ValidationError on recursion, and bare RuntimeErrors
        raise error(
            "OQ561",
            f"the local functions of '{path}' cannot be inlined: {first_line(reason)}",
            fix="export the model again without local functions",
        ) from None
    for target, source in (
        (model.functions, (*inlined.functions, *kept)),
        (model.graph.node, inlined.graph.node),
        (model.opset_import, inlined.opset_import),
    ):
        del target[:]
        target.extend(source)
    return model


def _require_few(model: onnx.ModelProto, path: object) -> None:
    """OQ561 where calls of calls of functions stand for more nodes than anything could hold.

    Thirty functions that call the next one twice stand for a billion, and even onnx's shape
    inference follows each call.
    """
    counts: dict[tuple[str, str, str], int] = {}
    remaining = {_id(f): f for f in model.functions}
    while remaining:
        ready = [k for k, f in remaining.items() if not _calls(f.node) & remaining.keys()]
        for key in ready:
            counts[key] = _count(remaining.pop(key).node, counts)
        if not ready:  # recursion, which the inliner refuses where the function matters
            break
    if (count := _count(model.graph.node, counts)) > _MOST:
        raise error(
            "OQ561",
            f"the local functions of '{path}' stand for {count:,} nodes",
            fix="export the model again without local functions",
        )


def _calls(nodes: Iterable[onnx.NodeProto]) -> set[tuple[str, str, str]]:
    return {_key(n) for n in all_nodes(nodes)}


def _count(nodes: Iterable[onnx.NodeProto], counts: Mapping[tuple[str, str, str], int]) -> int:
    return sum(counts.get(_key(n), 1) for n in all_nodes(nodes))


def _import_domains(model: onnx.ModelProto) -> dict[str, int]:
    """Let the model import what its functions do, which the inliner forgets; versions by domain."""
    versions = {domain_of(o.domain): o.version for o in model.opset_import}
    for opset in (o for f in model.functions for o in f.opset_import):
        if domain_of(opset.domain) not in versions:
            versions[domain_of(opset.domain)] = opset.version
            model.opset_import.add(domain=opset.domain, version=opset.version)
    return versions


def _worth_it(model: onnx.ModelProto) -> set[tuple[str, str, str]]:
    """Functions with a product or a pair, and functions that call these."""
    worth: set[tuple[str, str, str]] = set()
    while (
        more := {
            _id(f)
            for f in model.functions
            if any(_key(n) in worth or type_of(n) in WORTH for n in all_nodes(f.node))
        }
        - worth
    ):
        worth |= more
    return worth


def _is_standard(function: onnx.FunctionProto, versions: dict[str, int]) -> bool:
    """True for a function with the name of an operator that ONNX defines."""
    domain = domain_of(function.domain)
    return domain in versions and defs.has(function.name, versions[domain], domain)


def _align(function: onnx.FunctionProto, versions: dict[str, int]) -> None:
    """Import the model's version of an operator set where the function's operators are the same.

    The inliner leaves out a function with any other version.
    """
    for opset in function.opset_import:
        domain = domain_of(opset.domain)
        used = {n.op_type for n in all_nodes(function.node) if domain_of(n.domain) == domain}
        if all(_since(op, opset.version, domain) == _since(op, versions[domain], domain) > 0
               for op in used):  # fmt: skip
            opset.version = versions[domain]


def _since(op: str, version: int, domain: str) -> int:
    """The version that defined an operator as it is in `version`; 0 for an unknown operator."""
    if not defs.has(op, version, domain):
        return 0
    return int(defs.get_schema(op, version, domain).since_version)


def _separate_outputs(function: onnx.FunctionProto) -> None:
    """Give outputs that are inputs, or another output, a name of their own, for the inliner."""
    taken = {*function.input, *(name for n in all_nodes(function.node) for name in n.output)}
    used = set(function.input)
    for index, name in enumerate(function.output):
        if name in used:
            free = next(f for i in range(len(taken) + 1) if (f := f"{name}_{i}") not in taken)
            function.node.append(helper.make_node("Identity", [name], [free]))
            function.output[index] = free
            taken.add(free)
        used.add(name)


def _state_defaults(model: onnx.ModelProto) -> None:
    """Write the defaults of a function's attributes into its calls; the inliner drops them."""
    functions = {_id(f): f for f in model.functions}
    while any(_take_defaults(f, functions) for f in model.functions):
        pass
    bodies = (model.graph.node, *(f.node for f in model.functions))
    for call in (node for body in bodies for node in all_nodes(body)):
        if (function := functions.get(_key(call))) is not None:
            written = {a.name for a in call.attribute}
            call.attribute.extend(a for a in function.attribute_proto if a.name not in written)


def _take_defaults(
    function: onnx.FunctionProto, functions: dict[tuple[str, str, str], onnx.FunctionProto]
) -> bool:
    """Give attributes that a function only passes on the default of their target; True for any."""
    passed_on = [(n, a) for n in all_nodes(function.node) for a in n.attribute if a.ref_attr_name]
    uses = Counter(a.ref_attr_name for _, a in passed_on)
    before = len(function.attribute)
    for call, attribute in passed_on:
        name, inner = attribute.ref_attr_name, functions.get(_key(call))
        defaults = {a.name: a for a in inner.attribute_proto} if inner else {}
        if attribute.name in defaults and name in function.attribute and uses[name] == 1:
            function.attribute.remove(name)
            function.attribute_proto.add().CopyFrom(defaults[attribute.name])
            function.attribute_proto[-1].name = name
    return len(function.attribute) < before


def _id(function: onnx.FunctionProto) -> tuple[str, str, str]:
    return function.domain, function.name, function.overload


def _key(call: onnx.NodeProto) -> tuple[str, str, str]:
    return call.domain, call.op_type, call.overload
