"""Which ops go into float together, and in which order."""

import numpy as np
from onnx import helper

import onnxq
from onnxq.improvement.loss import Judge
from onnxq.sensitivities.measuring import measure, sizes_of
from onnxq.tuning.greedy import ordered
from onnxq.tuning.units import Units
from tests.improvement.models import array, model
from tests.improvement.working import work_on
from tests.tuning.models import chain, conv, inputs


def units_of(proto, data):
    work = work_on(proto, data)
    loaded = onnxq.load(proto)
    judge = Judge(model=loaded.proto, graph=loaded.graph, samples=data)
    ranking = measure(work.subject, judge, 0, lambda stage, done, total: None)
    sizes = sizes_of(work.subject, judge)
    return Units.of(work.subject, sizes, ranking.parts, ranking), ranking


def weight(name, outputs=6, inputs_=6, seed=0):
    return array(name, np.random.default_rng(seed).normal(size=(outputs, inputs_, 1, 1)) / 3)


def net(nodes, weights):
    shape = [1, 6, 8, 8]
    return model(nodes, weights, {"x": shape}, {"y": shape})


def test_readers_of_one_pair_go_together():
    nodes = [
        conv(["x", "a"], "q", "query"),
        conv(["x", "b"], "k", "key"),
        helper.make_node("Mul", ["q", "k"], ["m"], "mul"),
        conv(["m", "c"], "y", "last"),
    ]
    units, _ = units_of(net(nodes, [weight(n, seed=i) for i, n in enumerate("abc")]), inputs(8))
    assert [unit.nodes for unit in units.units] == [("query", "key"), ("last",)]


def test_a_block_goes_with_its_add_and_blocks_do_not_chain():
    nodes, weights, skip = [], [], "x"
    for block in range(3):
        first, second = f"w{block}a", f"w{block}b"
        weights += [weight(first, seed=block), weight(second, seed=10 + block)]
        nodes += [
            conv([skip, first], f"h{block}", f"in{block}"),
            helper.make_node("Relu", [f"h{block}"], [f"r{block}"], f"relu{block}"),
            conv([f"r{block}", second], f"o{block}", f"out{block}"),
            helper.make_node("Add", [f"o{block}", skip], [f"s{block}"], f"add{block}"),
        ]
        skip = f"s{block}"
    nodes[-1].output[0] = "y"
    units, _ = units_of(net(nodes, weights), inputs(8))
    assert max(len(unit.nodes) for unit in units.units) <= 3
    together = next(unit.nodes for unit in units.units if "add1" in unit.nodes)
    assert set(together) == {"in1", "out1", "add1"}


def test_what_does_not_fit_the_budget_is_passed_over():
    units, ranking = units_of(chain(), inputs(8))
    noise = np.array(ranking.total)
    assert [u.nodes for u in ordered(units, noise, 0.0, 0.79)] == [("/net/2/Conv",)]
    assert len(ordered(units, noise, 0.0, 0.0)) == 5
    assert ordered(units, noise, 0.0, 0.9) == []


def test_conversions_are_those_at_the_borders():
    units, _ = units_of(chain(), inputs(8))
    by_node = {unit.nodes[0]: unit for unit in units.units}
    assert units.conversions([by_node["/net/2/Conv"]]) == 1
    assert units.conversions([by_node["/net/1/Conv"], by_node["/net/2/Conv"]]) == 1
    assert units.conversions([by_node["/net/1/Conv"], by_node["/net/3/Conv"]]) == 2
    assert units.conversions([by_node["/net/4/Conv"]]) == 0
    assert units.share([by_node["/net/4/Conv"]]) == 0.8


def test_what_the_compiler_keeps_in_float_is_not_in_int8():
    nodes = [
        conv(["x", "a"], "h", "first"),
        helper.make_node("ConvTranspose", ["h", "b"], ["y"], "up"),
    ]
    units, _ = units_of(net(nodes, [weight("a"), weight("b", seed=1)]), inputs(8))
    assert [unit.nodes for unit in units.units] == [("first",), ("up",)]
    assert units.share(()) == 0.5
    assert units.share(units.units[1:]) == 0.5
