"""Which ops go into float together, and in which order."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper

import onnxq
from onnxq.improvement.loss import Judge
from onnxq.sensitivities.measuring import measure, sizes_of
from onnxq.tuning.goal import Figures, Goal
from onnxq.tuning.greedy import ordered
from onnxq.tuning.search import Search, Trial
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


def trial_of(chosen, units, sqnr_db):
    figures = Figures(figure=sqnr_db, sqnr_db=(sqnr_db,), error_db=0.0)
    return Trial(units=chosen, int8=units.share(chosen), conversions=0, figures=figures)


def test_figures_that_jump_do_not_flatter_what_is_chosen():
    """The luckiest trial would be 0.7 dB below the aim where figures are off by 1.2 dB."""
    units, _ = units_of(chain(count=30), inputs(4))
    order = tuple(replace(unit, noise=(0.9**i,)) for i, unit in enumerate(units.units))
    units = replace(units, units=order)
    whole = sum(unit.noise[0] for unit in order)

    def exact(chosen):
        return 20 - 10 * np.log10(max(1 - sum(u.noise[0] for u in chosen) / whole, 1e-9))

    aim = exact(order[:10]) - 0.01

    def off(seed):
        """What the chosen trial has beyond the aim in truth."""
        rng = np.random.default_rng(seed)

        def figures(chosen):
            figure = float(exact(chosen) + 1.2 * rng.normal())
            return Figures(figure=figure, sqnr_db=(figure,), error_db=0.0), None

        search = Search(
            goal=Goal(least=aim),
            units=units,
            order=order,
            bench=SimpleNamespace(figures=figures),
            make=lambda chosen: chosen,
        )
        return exact(search.fewest(aim).units) - aim

    assert np.mean([off(seed) for seed in range(100)]) == pytest.approx(0, abs=0.4)


def test_after_a_verdict_no_more_than_a_step_follows():
    """Expected noise is no promise: a verdict that says no must not cost all of the INT8."""
    units, ranking = units_of(chain(count=30), inputs(8))
    noise = np.array(ranking.total)
    search = Search(
        goal=Goal(least=90),
        units=units,
        order=ordered(units, noise, 0.0, 0.0),
        bench=None,
        make=lambda chosen: None,
        trials={(): trial_of((), units, 30)},
    )

    def further(searched, count, lack):
        return len(searched.further(searched.order[:count], lack))

    assert further(search, 2, 60) == 3
    assert further(search, 29, 60) == 30
    wide = replace(search, units=replace(units, macs=units.macs * 10))
    assert 3 < further(wide, 2, 60) <= 2 + 15
    scored = replace(wide, goal=Goal(least=1, scorer=object()))
    assert further(scored, 4, 0.1) == 8
    trimmed = search.order[1:4]
    assert set(trimmed) < set(search.further(trimmed, 60))
