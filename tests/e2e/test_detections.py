"""The base recipe keeps what a detector finds, where the plain percentile cuts scores."""

import sys
from pathlib import Path

import onnxq

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import detection_data
from subjects import SUBJECTS

FONTS = (detection_data.PILLOW,)  # no package is needed for it


def test_yolox_keeps_its_detections_and_adds_few():
    """Measured: 97.9 % kept, 3.1 % new; the percentile keeps 90.1 and adds 4.7 %."""
    subject = SUBJECTS["yolox"]
    model = subject.model()
    samples = detection_data.characters(32, 1, "calibration", FONTS)
    statistics = onnxq.calibrate(model, {"images": samples})
    percentile = onnxq.Recipe.from_dict(
        {
            "schema": 1,
            "extends": "trt-int8",
            "descriptors": {"act": {"extends": "act", "method": "percentile"}},
        },
        name="percentile",
    )
    report = onnxq.verify(
        model,
        [onnxq.insert(model, recipe, statistics) for recipe in ("trt-int8", percentile)],
        data={"images": detection_data.characters(48, 3, "evaluation", FONTS)},
        detections=subject.decoder,
        backend="onnxruntime",
    )
    ours, others = (checked.numeric.detections for checked in report.models)
    assert ours.float_count > 150
    assert ours.kept >= 0.95
    assert ours.new <= 0.05
    assert ours.kept > others.kept
