"""The ranking as text: shared pairs, totals that do not add up, MACs that nobody knows."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from onnxq.render.sensitivities import sensitivity
from onnxq.sensitivities.sensitivity import OpNoise, PairNoise, Sensitivity


def pair(tensor, kind, nodes, *noise):
    return PairNoise(
        tensor=tensor, kind=kind, descriptor="int8", nodes=nodes, noise=noise, is_measured=True
    )


def op(name, activation, weight, shared=0, macs=100):
    return OpNoise(
        node=name, op="Conv", activation=activation, weight=weight, shared=shared, macs=macs,
        weight_bytes=4000,
    )  # fmt: skip


# Two ops on one pair with most of the noise, and one op by itself; two outputs.
RESULT = Sensitivity(
    model="m.onnx",
    model_digest="",
    plan_digest="",
    recipe="own",
    estimator="gradients",
    samples=8,
    measured_on=8,
    parts=("y", "z"),
    pairs=(
        pair("shared", "activation", ("one", "two"), 0.06, 0.04),
        pair("alone", "activation", ("three",), 0.03, 0.03),
        pair("w", "weight", ("three",), 0.01, 0.03),
    ),
    ops=(
        op("one", (0.06, 0.04), (0.0, 0.0), shared=1),
        op("two", (0.06, 0.04), (0.0, 0.0), shared=1),
        op("three", (0.03, 0.03), (0.01, 0.03), macs=200),
    ),
    total=(0.1, 0.1),
)


def text(result, width=200, terminal=False, everything=False):
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None)
    sensitivity(console, result, everything=everything)
    return stream.getvalue()


def row(printed, name):
    return next(line.split() for line in printed.splitlines() if line.split()[:1] == [name])


def test_a_shared_pair_counts_once():
    printed = text(RESULT)
    assert row(printed, "one")[2:5:2] == ["50.0%", "50.0%"]
    assert row(printed, "two")[2:5:2] == ["50.0%", "50.0%"]
    assert row(printed, "three")[2:5:2] == ["50.0%", "100.0%"]
    assert "1 op" in printed
    half = printed.splitlines()[-1]
    assert half == (
        "half of the noise comes from 1 of 3 pairs on activations, which 2 ops read, with 50.0% "
        "of the MACs: one, two"
    )


def test_activations_and_weights_are_apart_and_the_worst_output_is_named():
    printed = text(RESULT)
    assert row(printed, "three")[5:] == ["30.0%", "20.0%", "12.2", "in", "z", "50.0%", "4.0kB"]
    assert row(printed, "one")[5:10] == ["50.0%", "0.0%", "12.2", "in", "y"]


@pytest.mark.parametrize(
    ("total", "less", "more"),
    [((0.1, 0.1), 0, 0), ((0.05, 0.1), 1, 0), ((0.1, 0.2), 0, 1), ((0.05, 0.2), 1, 1)],
)
def test_what_does_not_add_up_is_told(total, less, more):
    printed = text(replace(RESULT, total=total))
    assert printed.count("pairs bring less noise together") == less
    assert printed.count("pairs bring more noise together") == more
    assert row(printed, "y")[1:3] == [f"{-10 * np.log10(total[0]):.1f}", "10.0"]


def test_a_share_of_macs_needs_all_of_them():
    unknown = replace(RESULT, ops=(replace(RESULT.ops[0], macs=None), *RESULT.ops[1:]))
    printed = text(unknown)
    assert "?" in row(printed, "one")
    assert "200" in row(printed, "three")
    assert "of the MACs" not in printed


def test_no_noise():
    nothing = tuple(replace(p, noise=(0.0, 0.0)) for p in RESULT.pairs)
    still = tuple(replace(o, activation=(0.0, 0.0), weight=(0.0, 0.0)) for o in RESULT.ops)
    printed = text(replace(RESULT, pairs=nothing, ops=still, total=(0.0, 0.0)))
    assert "no pair brings any noise" in printed
    assert row(printed, "y") == ["y", "inf", "inf", "-"]


def test_a_long_list_is_cut_and_the_rest_counted():
    shared = tuple(replace(RESULT.ops[0], node=f"op{i}", shared=28) for i in range(29))
    ops = (*shared, RESULT.ops[2])
    pairs = (replace(RESULT.pairs[0], nodes=tuple(o.node for o in shared)), *RESULT.pairs[1:])
    many = replace(RESULT, ops=ops, pairs=pairs)
    assert "10 more with 50.0% of the noise; --all shows them, and every pair" in text(many)
    everything = text(many, everything=True)
    assert "more with" not in everything
    assert "op28" in everything
    assert "pair on" in everything


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_narrow_terminal_keeps_what_counts(width):
    printed = text(RESULT, width=width, terminal=True)
    header = printed[: printed.index("─")]
    assert all(word in header for word in ("noise", "activations", "MACs"))
    tables = printed[: printed.index("noise: ")].splitlines()
    assert max(map(len, (line for line in tables if "not shown" not in line))) <= width
