"""The YOLOX and the photographs of `make demo`, calibrated once for all pictures."""

import subprocess
import sys
from pathlib import Path

import onnxq

FOLDER = Path(__file__).parents[2] / "build" / "plots"
MODEL, CALIBRATION, EVALUATION = (
    FOLDER / name for name in ("yolox.onnx", "calibration", "evaluation")
)


def statistics() -> onnxq.Statistics:
    """The statistics of the twelve photographs; those of an earlier script are taken again."""
    saved = FOLDER / "yolox.calib.npz"
    if not saved.exists():
        prepare = Path(__file__).parents[2] / "demo" / "prepare.py"
        subprocess.run([sys.executable, prepare, FOLDER], check=True)
        onnxq.calibrate(MODEL, CALIBRATION, preprocess="yolox", output=saved)
    return onnxq.Statistics.load(saved)
