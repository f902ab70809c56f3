"""onnxq rules: check rule files, list and print the shipped ones, print their JSON schema."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from onnxq.cli import completion, options
from onnxq.cli.command import Group
from onnxq.cli.grouped import grouped
from onnxq.cli.screen import console
from onnxq.diagnostics import Diagnostic, OnnxqError

HELP = "Check rule files, list and print the shipped ones, print their JSON schema."

app = typer.Typer(cls=Group, no_args_is_help=True, help=HELP)


@app.command(epilog="Example: `onnxq rules check my-rules.yaml`")
@grouped
def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Rule files.")],
) -> None:
    """Read rule files and say everything that is wrong with them."""
    import onnxq

    diagnostics: list[Diagnostic] = []
    for file in files:
        try:
            recipe = onnxq.load_recipe(file)
            typer.echo(f"{file}: {len(recipe.rules)} rules with what it extends")
        except OnnxqError as reason:
            diagnostics += reason.diagnostics
    if diagnostics:
        raise OnnxqError(*dict.fromkeys(diagnostics))


@app.command(name="list", epilog="Example: `onnxq rules list`")
@grouped
def list_() -> None:
    """Print the names of the shipped recipes and preprocessings."""
    import onnxq

    out = console()
    out.print(f"recipes: {', '.join(onnxq.shipped_recipes())}")
    out.print(f"preprocessings: {', '.join(onnxq.shipped_preprocessings())}")


@app.command(
    epilog="Examples: `onnxq rules show yolo`, `onnxq rules show imagenet --preprocess > mine.yaml`"
)
@grouped
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A recipe, such as yolo, or with --preprocess a preprocessing.",
            autocompletion=completion.recipes_and_preprocessings,
        ),
    ],
    *,
    preprocess: Annotated[
        bool, options.option("--preprocess", "Print the preprocessing of this name.")
    ] = False,
) -> None:
    """Print the YAML of a shipped recipe or preprocessing, to read or to begin your own with."""
    import onnxq

    text = onnxq.preprocess_text(name) if preprocess else onnxq.recipe_text(name)
    typer.echo(text, nl=not text.endswith("\n"))


@app.command(epilog="Example: `onnxq rules schema > schema.json`")
@grouped
def schema() -> None:
    """Print the JSON schema of rule files, for completion in an editor."""
    import onnxq

    typer.echo(json.dumps(onnxq.rule_schema(), indent=2))
