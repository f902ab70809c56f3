"""The base recipe keeps what a detector finds, where the plain percentile cuts scores."""

import sys
from pathlib import Path

import onnxq

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import detection_data
import detections

FONTS = (detection_data.PILLOW,)  # no package is needed for it


def test_yolox_keeps_its_detections_and_adds_few():
    """Measured: 97.9 % kept, 3.1 % new; the percentile keeps 90.1 and adds 4.7 %."""
    model = detections.fixed("yolox")
    samples = detection_data.characters(32, 1, "calibration", FONTS)
    statistics = onnxq.calibrate(model, {"images": samples})
    judge = detections.Judge("yolox", detection_data.characters(48, 3, "evaluation", FONTS))
    percentile = onnxq.Recipe.from_dict(
        {
            "schema": 1,
            "extends": "trt-int8",
            "descriptors": {"act": {"extends": "act", "method": "percentile"}},
        },
        name="percentile",
    )
    (kept, new, _, total), (others_kept, *_) = (
        judge.score(onnxq.insert(model, recipe, statistics).proto)
        for recipe in ("trt-int8", percentile)
    )
    assert total > 150
    assert kept >= 0.95
    assert new <= 0.05
    assert kept > others_kept
