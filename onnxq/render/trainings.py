"""A training as text: every epoch, and what it gained."""

from __future__ import annotations

import math

from rich.console import Console

from onnxq.diagnostics import counted
from onnxq.render.tables import table
from onnxq.training.trained import Trained


def trained(console: Console, result: Trained) -> None:
    """Print the epochs, the figures before and after, and the file."""
    unit = result.unit
    rows = [
        (
            "kept" if epoch is result.best else "",
            str(epoch.number),
            "" if math.isnan(epoch.loss) else f"{epoch.loss:.4g}",
            f"{result.figure(epoch):.4g}",
            f"{epoch.seconds:.0f} s" if epoch.number else "",
        )
        for epoch in result.epochs
    ]
    table(console, ("", "epoch", "loss", f"{unit} held out", "time"), rows)
    for name, after in result.after.sqnr_db.items():
        before = result.before.sqnr_db[name]
        console.print(f"{name}: {before:.2f} dB before, {after:.2f} dB trained")
    if result.after.score is not None:
        scores = f"{result.before.score:.4g} before, {result.after.score:.4g} trained"
        console.print(f"{unit}: {scores}")
    fitted, held_out = result.samples
    console.print(
        f"on {counted(held_out, 'sample')} held out, which chose the epoch; trained "
        f"{counted(result.learned, 'tensor')} on {fitted} others"
    )
    if result.path is not None:
        console.print(f"{result.path}: next, 'onnxq verify {result.teacher} {result.path}'")
