"""No telemetry: onnxruntime keeps its events below the cache folder before it sends them."""

import os
import subprocess

from tests.command import ONNXQ


def test_onnxruntime_keeps_no_events(here):
    """Processes of their own: onnxruntime decides once, when it is imported."""
    home = here / "home"
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    command = [ONNXQ, "quantize", "model.onnx", "--data", "imgs", "--quiet"]
    subprocess.run(command, cwd=here.folder, env=environment, check=True, capture_output=True)
    written = {path.relative_to(home).parts[:2] for path in home.rglob("*") if path.is_file()}
    assert written
    assert not [parts for parts in written if "onnxq" not in parts]
