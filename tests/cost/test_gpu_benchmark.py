"""The check of the cost model on a GPU, as far as it goes without one."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxq.passed_arrays import save_arrays
from onnxq.verification.gpu import gpu
from tests.once import made_once
from tests.verification.models import float_conv, quantized_conv

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "gpu"))
import bundle
import compare
import gpu_page
import held
import measure
import on_gpu
import prepare
import running
from bundle import Bundle, EngineFile, Network
from correlation import spearman
from held import Held, Predicted
from measured import Engine, Latency, Machine, Measurement, Result

from onnxq.cost.gpu import load

GPU = Path(__file__).parents[2] / "benchmarks" / "gpu"
MS = {  # least, launched, as a graph
    "a": {
        "fp32": (4.0, 5.0, 4.5),
        "fp16": (2.0, 3.0, 2.5),
        "int8": (1.0, 2.7, 1.5),
        "modelopt-entropy": (1.1, 3.0, 1.7),
    },
    "b": {"fp16": (1.0, 1.0, 1.0), "int8": (0.9, 1.1, 0.8), "int8-fp16": (0.8, 1.2, None)},
    "placements": {"all": (1.0, 4.0, 1.0), "fp32": (2.0, 3.0, 2.0), "one Conv": (3.0, 2.0, 3.0)},
}


def latency(ms):
    return None if ms is None else Latency(median=ms, p10=ms, p90=ms, runs=1)


def result(networks, **facts):
    machine = Machine(processor="x86_64", cores=2, python="3", gpu={"name": "G"}, versions={})
    place = {"date": "2026-01-01", "backend": "tensorrt-rtx", "bundle": "0", "budget_s": 1.0}
    return Result(machine=machine, networks=networks, **place, **facts)


@pytest.fixture
def known():
    """A record of three networks whose times are those above."""
    networks = tuple(
        Measurement(
            network=network,
            engines=tuple(
                Engine(name=name, digest="0", latency=latency(launched), graph=latency(graph))
                for name, (_, launched, graph) in engines.items()
            ),
        )
        for network, engines in MS.items()
    )
    predicted = {n: {e: Predicted(ms=ms[0]) for e, ms in es.items()} for n, es in MS.items()}
    return Held(gpu="A GPU", onnxq="0", result=result(networks), predicted=predicted)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A bundle of one network, of which one file is no model."""

    def make(folder):
        (folder / "net").mkdir()
        files = {"fp32": float_conv(), "int8": quantized_conv()}
        for name, model in files.items():
            onnx.save(model, bundle.model(folder, "net", name))
        described = Network(
            name="net", title="net", kind="model", samples=1, engines=engines(folder, files)
        )
        shape = [d.dim_value for d in files["fp32"].graph.input[0].type.tensor_type.shape.dim]
        sample = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        prepare.computed(folder, described, [{"x": sample}])
        bundle.model(folder, "net", "broken").write_bytes(b"no model")
        whole = described.model_copy(update={"engines": engines(folder, (*files, "broken"))})
        text = Bundle(onnxq="0", networks=(whole,)).model_dump_json()
        (folder / "bundle.json").write_text(text)

    return made_once(tmp_path_factory, "gpu-bundle", make)


def engines(folder, names):
    paths = {name: bundle.model(folder, "net", name) for name in names}
    return tuple(EngineFile(name=n, digest=bundle.digest(p)) for n, p in paths.items())


@pytest.fixture(scope="module")
def built(models, tmp_path_factory):
    """The file of a run that builds only."""

    def make(folder):
        places = "--models", models, "--output", folder / "result.json"
        command = [sys.executable, GPU / "measure.py", *places, "--no-gpu"]
        subprocess.run([*command, "--compiler", "tensorrt-rtx"], check=True)

    return made_once(tmp_path_factory, "gpu-built", make) / "result.json"


def test_ranks_with_equal_values():
    assert spearman([1, 2, 3, 4], [10, 20, 40, 80]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    # ranks 0, 1.5, 1.5, 3 against 0 to 3: 4.5 / sqrt(4.5 * 5)
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(22.5))
    assert math.isnan(spearman([1, 1], [1, 2]))


def test_engines_take_turns():
    calls = []
    timed = {n: lambda n=n: calls.append(n) or float(len(calls)) for n in "ab"}
    times = on_gpu.interleaved(timed, rounds=2, block=2)
    assert "".join(calls) == "aaabbb" + "bbbaaa"
    # the first of each block does not count
    assert times == {"a": [2, 3, 11, 12], "b": [5, 6, 8, 9]}
    assert on_gpu.interleaved({}) == {}


def test_quantiles_of_a_latency():
    assert Latency.of([3, 1, 2, 5, 4]) == Latency(median=3, p10=1.4, p90=4.6, runs=5)


def test_sqnr_of_outputs_by_hand(tmp_path):
    for folder, scale in (("expected", 1.0), ("computed", 1.1)):
        (tmp_path / folder).mkdir()
        for number in range(2):
            values = np.full((1, 3), scale, np.float32)
            arrays = {"y": values, "index": np.arange(3), folder: values}
            save_arrays(tmp_path / folder / f"{number}.npz", arrays)
    expected = [tmp_path / "expected" / f"{n}.npz" for n in range(2)]
    # noise of a tenth is 20 dB; integers have no SQNR, and an output of one side none either
    assert running.sqnr_db(expected, tmp_path / "computed") == {"y": 20.0}
    assert running.sqnr_db(expected, tmp_path / "expected")["y"] == math.inf


def test_each_engine_says_that_it_was_built_and_did_not_run(built):
    found = Result.load(built)
    (network,) = found.networks
    by_name = network.by_name
    for name in ("fp32", "int8"):
        assert by_name[name].engine_bytes > 0
        assert by_name[name].problem == running.NO_GPU
        assert by_name[name].latency is None
    assert by_name["broken"].problem.startswith("not built: ")
    assert by_name["broken"].engine_bytes is None
    assert found.left_out == ()
    assert {"onnxq", "tensorrt_rtx_cu13"} <= found.machine.versions.keys()


def test_what_there_is_no_time_for_is_left_out(models, tmp_path, monkeypatch):
    output = tmp_path / "r.json"
    options = ["--models", models, "--output", output, "--budget", "0"]
    monkeypatch.setattr(sys, "argv", ["measure.py", *map(str, options)])
    measure.main()
    found = Result.load(output)
    assert found.left_out == ("net, fp32", "net, int8", "net, broken")
    assert {e.problem for e in found.networks[0].engines} == {running.NO_TIME}


def test_an_unknown_network(models, tmp_path, monkeypatch, capsys):
    options = ["--models", models, "--output", tmp_path / "r.json", "--networks", "nets"]
    monkeypatch.setattr(sys, "argv", ["measure.py", *map(str, options)])
    with pytest.raises(SystemExit):
        measure.main()
    assert "no network nets in the bundle, but net" in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()


@pytest.mark.skipif(gpu(), reason="what is tested is how runs fail without a GPU")
def test_a_run_that_fails_is_a_problem_of_each_engine(models):
    budget = running.Budget(end=math.inf)
    bench = running.Bench(folder=models, compiler="tensorrt-rtx", budget=budget, runs=True)
    measured = bench.measurement(Bundle.load(models).networks[0])
    assert {e.name for e in measured.engines if e.engine_bytes} == {"fp32", "int8"}
    assert all(e.problem and e.latency is None for e in measured.engines)
    assert any("cuda" in line.lower() for line in measured.log), measured.log


def test_a_result_without_runs_has_nothing_to_compare(built, models):
    command = [sys.executable, GPU / "compare.py", built, "--models", models, "--gpu", "l4"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "none of 3 engines ran" in done.stderr
    assert f"2: {running.NO_GPU}" in done.stderr
    assert "not built" in done.stderr
    assert done.stdout == ""


def test_predictions_are_for_the_file_that_was_measured(models):
    digests = {e.name: e.digest for e in Bundle.load(models).networks[0].engines}
    measured = [Engine(name=n, digest=d, latency=latency(1)) for n, d in digests.items()]
    measured[1] = measured[1].model_copy(update={"digest": "0"})
    unknown = Engine(name="absent", digest="0", latency=latency(1))
    networks = (Measurement(network="net", engines=(*measured, unknown)),)
    costs = compare.hold(result(networks), models, load("l4")).predicted["net"]
    assert costs["fp32"].ms > 0
    assert costs["int8"].problem == "the file is not the one that was measured"
    assert costs["absent"].problem == "the file is not in the folder of models"
    assert costs["broken"].ms is None


def test_orders_of_known_times(known):
    # ranks 3, 2, 0, 1 against 3, 1.5, 0, 1.5
    assert known.correlation(("a",), "latency") == (pytest.approx(4.5 / math.sqrt(22.5)), 4)
    assert known.correlation(("a",), "graph") == (pytest.approx(1), 4)
    assert known.correlation(("placements",), "latency") == (pytest.approx(-1), 3)
    assert known.correlation(("placements",), "graph") == (pytest.approx(1), 3)
    figure, count = known.correlation(("b",), "graph")
    assert math.isnan(figure)
    assert count == 2
    assert known.correlation(known.models, "latency")[1] == 7


def test_ratios_of_known_times(known):
    ratios = {(r.network, r.engine): r for r in known.ratios("latency")}
    assert ratios["a", "int8"].predicted == pytest.approx(0.5)
    assert ratios["a", "int8"].measured == pytest.approx(0.9)
    assert ratios["a", "int8"].agrees
    assert not ratios["b", "int8"].agrees
    assert ("b", "int8-fp16") not in {(r.network, r.engine) for r in known.ratios("graph")}
    assert not any(network == "placements" for network, _ in ratios)  # without an FP16 engine


def test_goals_of_known_times(known):
    a, b = known.goals("latency")
    assert (a.engine, a.by_peer, a.by_fp16) == ("int8", pytest.approx(0.9), pytest.approx(0.9))
    assert a.is_reached is True
    assert (b.engine, b.by_peer, b.is_reached) == ("int8", None, None)
    a, _ = known.goals("graph")
    assert a.by_peer == pytest.approx(1.5 / 1.7)
    assert a.model_copy(update={"by_peer": 0.96}).is_reached is False
    assert a.model_copy(update={"by_fp16": 1.0}).is_reached is False


def test_the_page_has_the_figures_and_what_is_missing(known, tmp_path):
    failed = Engine(name="nncf", digest="0", problem="not built: no")
    first = known.result.networks[0]
    networks = (first.model_copy(update={"engines": (*first.engines, failed)}),)
    record = known.model_copy(update={"result": result(networks)})
    record.save(tmp_path)
    text = gpu_page.text(held.load(tmp_path))
    assert "| a | int8 | 0.50 | 0.90, yes | 0.60, yes |" in text
    assert "| a | launched | int8 | 0.90 | 0.90 | reached |" in text
    assert "| a | int8 | 1.0000 | 2.7000 (2.7000 to 2.7000) |" in text
    assert "- a, nncf: `not built: no`" in text
    assert "4 of 5 engines ran" in text


def test_infinite_figures_survive_the_file(tmp_path):
    engine = Engine(name="e", digest="0", same_db={"y": math.inf})
    whole = result((Measurement(network="n", engines=(engine,)),))
    whole.save(tmp_path / "r.json")
    json.loads((tmp_path / "r.json").read_text(), parse_constant=pytest.fail)
    assert Result.load(tmp_path / "r.json") == whole


def test_there_is_a_page_only_of_results():
    records = held.load()
    if not records:
        assert not gpu_page.PAGE.exists()
    else:
        assert gpu_page.PAGE.read_text("utf-8") == gpu_page.text(records)


@pytest.mark.long
def test_the_scripts_install_without_a_network_and_build(models, tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable, "ONLY_WHEELS": "1"}
    subprocess.run([GPU / "prepare.sh", tmp_path / "bundle"], check=True, env=environment)
    output = tmp_path / "result.json"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHON": sys.executable,
        "MODELS": str(models),
        "OUTPUT": str(output),
    }
    subprocess.run([tmp_path / "bundle/gpu/run.sh", "--no-gpu"], check=True, env=environment)
    (network,) = Result.load(output).networks
    assert network.by_name["int8"].problem == running.NO_GPU
