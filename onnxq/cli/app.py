"""The `onnxq` command: its verbs, and how errors become lines and exit codes."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
from typing import Annotated, Final

import typer

from onnxq.cli import (
    cache,
    calib,
    calibrate,
    doctor,
    explain,
    improve,
    insert,
    lint,
    plan,
    quantize,
    rules,
    sensitivity,
    strip,
    train,
    tune,
    verify,
)
from onnxq.cli.command import Command, Group
from onnxq.cli.grouped import grouped
from onnxq.cli.screen import console
from onnxq.cli.stdout import ReaderGoneError, require_streams
from onnxq.diagnostics import OnnxqError, error

app: Final = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn an FP32 ONNX model into a Q/DQ model that TensorRT compiles to INT8.",
    epilog="Exit codes: 0 done, 1 a check said no, 2 the input is wrong, 3 a backend is missing.",
)
for verb in (
    quantize,
    calibrate,
    improve,
    insert,
    plan,
    explain,
    lint,
    verify,
    sensitivity,
    tune,
    train,
    strip,
    doctor,
):
    name = verb.__name__.rpartition(".")[2]
    app.command(name, help=verb.HELP, epilog=verb.EXAMPLE)(grouped(verb.run))
app.add_typer(rules.app, name="rules")
app.add_typer(calib.app, name="calib")
app.add_typer(cache.app, name="cache")
for group in (app, rules.app, calib.app, cache.app):
    for command in group.registered_commands:
        command.cls = Command


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"onnxq {version('onnxq')}")
        raise typer.Exit


@app.callback()
def _root(
    shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every OnnxqError becomes its lines and its exit code."""
    require_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names in models may not fit the terminal
            with contextlib.suppress(OSError):  # a stream of a kind that cannot be changed
                stream.reconfigure(errors="backslashreplace")
    with contextlib.suppress(MemoryError):
        return _run()
    # Here the frames that held the memory are gone.
    fix = "close other programs, or raise the limit"
    _report(error("OQ801", "there is not enough memory", fix=fix))
    sys.exit(OnnxqError.exit_code)


def _run() -> None:
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OnnxqError as reason:
        _report(reason)
        sys.exit(reason.exit_code)
    except SystemExit as reason:
        # Typer, and Rich below it, make exit code 1 of a pipe that closes while they print help.
        if isinstance(reason.__context__, BrokenPipeError):
            sys.exit(141)
        raise
    except (ReaderGoneError, BrokenPipeError):  # such as `head`, which has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as reason:
        if not _has_working_folder():
            gone = "the working folder does not exist any more"
            _report(error("OQ501", gone, fix="change to another folder, and run it again"))
            sys.exit(OnnxqError.exit_code)
        if reason.errno in (errno.EMFILE, errno.ENFILE):
            message = "too many files are open"
            _report(error("OQ801", message, fix="raise the limit, as with 'ulimit -n 1024'"))
            sys.exit(OnnxqError.exit_code)
        if reason.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _report(error("OQ501", "cannot write to the output: no space left", fix="free some space"))
        sys.exit(OnnxqError.exit_code)


def _has_working_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _report(reason: OnnxqError) -> None:
    from onnxq import render

    if "--json" in sys.argv:
        diagnostics = [d.to_dict() for d in reason.diagnostics]
        typer.echo(json.dumps({"diagnostics": diagnostics}, indent=2))
    else:
        render.diagnostics(console(stderr=True), reason.diagnostics)
