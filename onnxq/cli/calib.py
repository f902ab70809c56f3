"""onnxq calib: join calibration files, and show what is in one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from onnxq.cli import finding, options
from onnxq.cli.command import Group
from onnxq.cli.grouped import grouped
from onnxq.cli.screen import QuietScreen, Screen

HELP = "Join calibration files, and show what is in one."

app = typer.Typer(cls=Group, no_args_is_help=True, help=HELP)


@app.command(epilog="Example: `onnxq calib merge part-*.npz -o model.calib.npz`")
@grouped
def merge(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Calibrations to add.")],
    *,
    output: Annotated[Path, options.option("-o --output FILE", "Where to write.")],
    screen: QuietScreen,
) -> None:
    """Add calibrations of one model: the file of a single run over all their data, bit for bit."""
    import onnxq
    from onnxq import render

    total = onnxq.merge(files, output=output)
    screen.diagnose(total.diagnostics)
    render.gathered(screen.out, total)
    screen.json(total.to_dict())


@app.command(epilog="Example: `onnxq calib show model.calib.npz --tensor '/model.0/**'`")
@grouped
def show(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="The calibration; by default the one in the working folder.",
        ),
    ] = None,
    *,
    tensor: Annotated[
        list[str] | None,
        options.option("--tensor NAME|GLOB", "Print the histogram of these tensors."),
    ] = None,
    percentile: Annotated[
        float, options.option("--percentile P", "Which percentile to read.")
    ] = 99.99,
    sort: Annotated[
        Literal["outliers", "name"],
        options.option("--sort outliers|name", "Worst outliers first, or by name."),
    ] = "outliers",
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Show so many at most; by default all."),
    ] = None,
    screen: Screen,
) -> None:
    """Show what was observed of each tensor, and the amax that each method reads from it.

    By max it is the larger of |min| and max. Tensors with NaN or Inf come first, then those whose
    max is farthest beyond their percentile.
    """
    import onnxq
    from onnxq import render

    statistics = finding.calibration_file(file, option="'onnxq calib show FILE'")
    summary = onnxq.summarize(
        statistics, tensor or (), percentile=percentile, sort=sort, limit=limit
    )
    render.show(summary, screen.out)
    screen.json(summary.to_dict())
