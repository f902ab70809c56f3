"""How the pictures of the documentation look, and where they are written."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

HERE = Path(__file__).parent
DARK, BLUE, ORANGE, GREY = "#1b1b1b", "#0b5fa5", "#c2500a", "#6b6b6b"
LOOK = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "sans-serif",
    "font.size": 11,
    "svg.fonttype": "none",
    "svg.hashsalt": "onnxq",
}


def figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches."""
    mpl.rcParams.update(LOOK)
    return Figure((width, height), layout="constrained")


def write(drawn: Figure, name: str) -> None:
    """Write docs/plots/NAME.svg, the same bytes for the same figure."""
    path = HERE / f"{name}.svg"
    drawn.savefig(path, metadata={"Date": None})
    lines = (line.rstrip() for line in path.read_text("utf-8").splitlines())
    path.write_text("\n".join(lines) + "\n", "utf-8")
    print(path)
