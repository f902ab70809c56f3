"""Put a trained YOLOX and real photographs, which the demo extra installs, into a folder."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

CALIBRATION = (
    "brick.png", "camera.png", "clock_motion.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png",
    "retina.jpg", "text.png",
)  # fmt: skip
EVALUATION = ("astronaut.png", "chelsea.png", "coffee.png", "coins.png", "rocket.jpg")


def package_folder(name: str) -> Path:
    """Folder of an installed package, found without importing it."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"{name} is not installed; run: pip install 'onnxq[demo]'")
    return Path(spec.origin).parent


def main(target: Path) -> None:
    """Write yolox.onnx, calibration/ and evaluation/ into the target folder."""
    pictures = package_folder("skimage") / "data"
    for folder, names in (("calibration", CALIBRATION), ("evaluation", EVALUATION)):
        (target / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copyfile(pictures / name, target / folder / name)
    shutil.copyfile(package_folder("ddddocr") / "common_det.onnx", target / "yolox.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
