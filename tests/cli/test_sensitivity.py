"""onnxq sensitivity: what is written and what not, JSON, and Ctrl-C."""

import json
import os
import shutil
import signal

import pytest

import onnxq
from tests.command import succeeded

RUN = ("sensitivity", "model.onnx", "--data", "imgs", "--rules", "rules.yaml")


def interrupted():
    """In this process Ctrl-C comes with the first figure of a pair."""
    from onnxq.sensitivities.judged import JudgedParts

    JudgedParts.noise = lambda *_: os.kill(os.getpid(), signal.SIGINT)


def test_the_calibration_of_the_folder_serves(here):
    before = here.files()
    outcome = succeeded(here.run(*RUN))
    assert "half of the noise comes from" in outcome.stdout
    assert here.files() == before


def test_pictures_enter_as_they_were_calibrated(here):
    succeeded(here.run("calibrate", "model.onnx", "--data", "imgs", "--preprocess", "yolox"))
    told = succeeded(here.run(*RUN)).stdout
    assert "preprocess: letterbox, BGR, /1 (as calibrated)" in told


def test_without_a_calibration_it_is_made_for_the_next_command(here):
    (here / "model.calib.npz").unlink()
    outcome = succeeded(here.run(*RUN, "--json"))
    told = json.loads(outcome.stdout)
    assert told["samples"] == 3
    assert onnxq.Statistics.load(here / "model.calib.npz").samples == 3
    succeeded(here.run("insert", "--rules", "rules.yaml"))


def test_json_has_every_figure(here):
    told = json.loads(succeeded(here.run(*RUN, "--json", "--html", "page.html")).stdout)
    assert told.keys() == {
        "model", "recipe", "estimator", "samples", "measured_on", "parts", "pairs", "ops",
        "diagnostics",
    }  # fmt: skip
    (part,) = told["parts"]
    assert part.keys() == {"name", "noise", "added_noise", "sqnr_db", "added_sqnr_db"}
    assert [p["kind"] for p in told["pairs"]].count("weight") == 2
    assert sum(p["share"] for p in told["pairs"]) == pytest.approx(1)
    assert part["added_noise"] == pytest.approx(sum(p["noise"][0] for p in told["pairs"]))
    for op in told["ops"]:
        assert op["share"] == pytest.approx(op["activation_share"] + op["weight_share"])
        assert op["macs"] in (16 * 16 * 4 * 27, 16 * 16 * 4 * 36)
        assert op["weight_bytes"] in (4 * 4 * 27, 4 * 4 * 36)
        assert op["shared_with"] == 0
    assert (here / "page.html").read_text().startswith("<!doctype html>")


def test_all_has_every_pair(here):
    some, everything = (succeeded(here.run(*RUN, *a)).stdout for a in ((), ("--all",)))
    assert "pair on" not in some
    assert "pair on" in everything
    assert everything.count("measured\N{SPACE}") >= 4


@pytest.mark.parametrize("target", ["model.onnx", "rules.yaml", "imgs/0.png", "model.calib.npz"])
def test_the_page_goes_over_no_input(here, target):
    here.refuses("OQ502", *RUN, "--html", target)


def test_a_page_that_cannot_be_written_is_told_before_any_work(here):
    (here / "model.calib.npz").unlink()
    here.refuses("OQ501", *RUN, "--html", "nowhere/page.html")


def test_ctrl_c_ends_it_without_a_traceback(here):
    (here / "page.html").write_text("the page from before")
    before = here.files()
    outcome = here.run(*RUN, "--html", "page.html", prepare=interrupted)
    assert outcome.returncode == 130
    assert "Traceback" not in outcome.stderr
    assert here.files() == before


@pytest.mark.parametrize("option", ["--ragged", "--seed=4", "--quiet"])
def test_other_options(here, option):
    outcome = succeeded(here.run(*RUN, option))
    assert (outcome.stdout == "") == (option == "--quiet")


@pytest.mark.parametrize(
    "command",
    [RUN, ("improve", *RUN[1:]), ("tune", *RUN[1:], "--min-sqnr", "5")],
    ids=lambda c: c[0],
)
def test_of_several_calibrations_none_is_overwritten(here, command):
    shutil.copy(here / "model.calib.npz", here / "second.calib.npz")
    told = here.refuses("OQ410", *command)
    assert "there are several calibrations: model.calib.npz, second.calib.npz" in told
