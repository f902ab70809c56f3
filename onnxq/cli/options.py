"""Options that several verbs have, and what every verb does with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxq.diagnostics import Diagnostic, OnnxqError, Severity, error

if TYPE_CHECKING:
    from rich.console import Console

    from onnxq.feeds import Feed
    from onnxq.graph import Graph

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")]
Data = Annotated[
    Path,
    typer.Option(
        "--data",
        help="A folder of pictures, or of .npy or .npz files; or one such file.",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Where to write.", show_default=False)
]
Rules = Annotated[
    str, typer.Option("--rules", metavar="NAME|FILE", help="A recipe: a file, or a shipped one.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Take warnings about your rules for errors.")
]
Shape = Annotated[
    list[str] | None,
    typer.Option(
        "--shape", metavar="NAME:1x3x640x640", help="Shape of an input with dynamic sizes."
    ),
]
PreprocessName = Annotated[
    str | None,
    typer.Option(
        "--preprocess",
        metavar="NAME|FILE",
        help="How pictures become inputs: yolo, yolox, imagenet, unit, ppocr or a YAML file.",
        show_default=False,
    ),
]


def shapes(given: list[str] | None) -> dict[str, tuple[int, ...]]:
    """Read --shape options: 'x:1x3x640x640' gives {'x': (1, 3, 640, 640)}."""
    found = {}
    for text in given or ():
        name, _, sizes = text.rpartition(":")
        try:
            found[name] = tuple(int(s) for s in sizes.lower().split("x"))
        except ValueError:
            found[name] = ()
        if not name or not found[name] or min(found[name]) < 1:
            raise error(
                "OQ405",
                f"--shape '{text}' cannot be read",
                fix="write it like --shape images:1x3x640x640",
            )
    return found


def output_path(path: Path, model: Path) -> Path:
    """Return where to write, unless that is the input model (OQ502)."""
    if path.exists() and model.exists() and path.samefile(model):
        raise error("OQ502", f"'{path}' is the input model", fix="give another -o")
    return path


def graph_of(model: Path, given: list[str] | None = None) -> Graph:
    """Read a float model for planning, with --shape applied (OQ301 to OQ303)."""
    from onnxq import graph
    from onnxq import model as models

    proto = models.name_nodes(models.load(model))
    models.refuse_quantized(proto, model)
    return graph.Graph(proto, digest=models.digest(model), shapes=shapes(given))


def refuse_warnings(found: Iterable[Diagnostic]) -> None:
    """Raise warnings as errors, for --strict."""
    from dataclasses import replace

    refused = [replace(d, severity=Severity.ERROR) for d in found]
    if refused:
        raise OnnxqError(*refused)


def consoles(*, as_json: bool, quiet: bool) -> tuple[Console, Console]:
    """Return the console for results (stdout) and for progress and warnings (stderr)."""
    from rich.console import Console

    return Console(quiet=quiet or as_json), Console(stderr=True)


def tell_preprocess(console: Console, feed: Feed, name: str | None) -> None:
    """Print how pictures become inputs, and whether somebody chose that."""
    from onnxq.preprocess import DEFAULT

    if feed.preprocess is not None:
        chosen = name or f"{DEFAULT}, the default; --preprocess changes it"
        console.print(f"preprocess: {feed.preprocess} ({chosen})")


def print_json(value: Mapping[str, Any]) -> None:
    """Print a result for machines."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


@contextmanager
def progress(
    console: Console, what: str, total: int, *, quiet: bool
) -> Iterator[Callable[[], None]]:
    """Yield a function to call after every step; it moves a bar when this is a terminal."""
    if quiet or not console.is_terminal:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(
        "{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, transient=True,
    ) as bars:  # fmt: skip
        task = bars.add_task(what, total=total)
        yield lambda: bars.advance(task)
