"""onnxq rules: check rule files, list the shipped ones, print the schema for editors."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from onnxq.cli.grouped import grouped
from onnxq.diagnostics import Diagnostic, OnnxqError

HELP = "Check rule files, list the shipped ones, print their JSON schema."

app = typer.Typer(no_args_is_help=True, help=HELP)


@app.command(epilog="Example: `onnxq rules check my-rules.yaml`")
@grouped
def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Rule files.")],
) -> None:
    """Read rule files and say everything that is wrong with them."""
    from onnxq.planning import recipe

    found: list[Diagnostic] = []
    for file in files:
        try:
            typer.echo(f"{file}: {len(recipe.load(file).rules)} rules with what it extends")
        except OnnxqError as reason:
            found += reason.diagnostics
    if found:
        raise OnnxqError(*dict.fromkeys(found))


@app.command(name="list", epilog="Example: `onnxq rules list`")
@grouped
def list_() -> None:
    """Print the names of the shipped recipes and preprocessings."""
    from onnxq import shipped

    typer.echo(f"recipes: {', '.join(shipped.recipes())}")
    typer.echo(f"preprocessings: {', '.join(shipped.preprocessings())}")


@app.command(epilog="Example: `onnxq rules schema > schema.json`")
@grouped
def schema() -> None:
    """Print the JSON schema of rule files, for completion in an editor."""
    from onnxq.planning import rule_file

    typer.echo(json.dumps(rule_file.json_schema(), indent=2))
