"""The default recipe on a trained transformer: what the rules that tell it from a CNN are worth."""

import pytest
import yaml

import onnxq
from onnxq import shipped


def sqnr(made, recipe):
    """SQNR in dB of the embedding by a recipe, on samples that were not calibrated on."""
    inserted = onnxq.insert(made.model, recipe, made.folder / "model.calib.npz")
    report = onnxq.verify(made.model, inserted, data=made.folder / "others", backend="onnxruntime")
    (model,) = report.to_dict()["models"]
    return model["numeric"]["sqnr_db"]


def without(rule):
    """The default less one rule."""
    document = yaml.safe_load(shipped.recipes()["trt-int8"].read_text())
    kept = [r for r in document["rules"] if r["id"] != rule]
    return onnxq.Recipe.from_dict({**document, "rules": kept}, name="less")


def test_minilm_is_all_int8(quantized_minilm):
    assert quantized_minilm.int8 == {"MatMul": (48, 48)}
    assert quantized_minilm.sqnr >= 15.0  # measured: 15.5


def test_what_the_name_of_its_kind_gives(quantized_minilm):
    assert sqnr(quantized_minilm, "transformer") == quantized_minilm.sqnr


# Measured: over 3, and 0.7; 3.9 to 4.5 and 1.1 to 1.6 on the texts of docs/adr/0028.
@pytest.mark.parametrize(("rule", "decibels"), [("behind-layer-norm", 3), ("after-gelu", 0.5)])
def test_what_a_rule_is_worth(quantized_minilm, rule, decibels):
    assert sqnr(quantized_minilm, without(rule)) < quantized_minilm.sqnr - decibels
