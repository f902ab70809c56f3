"""Options that several verbs have, and what every verb does with them."""

from __future__ import annotations

import gc
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from onnxq.diagnostics import Diagnostic, OnnxqError, Severity, error

if TYPE_CHECKING:
    from onnx import ModelProto
    from rich.console import Console

    from onnxq.feeds import DataRequest, Feed
    from onnxq.insertion.raising import Raised
    from onnxq.model.graph import Graph
    from onnxq.verify.profiles import Profile

_DATA: Final = "Data"

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="PATH",
        help="A folder of pictures or of .npy or .npz files; one such file; Polygraphy's saved "
        "inputs; or FILE.py[:FUNCTION] that yields samples.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
MaybeData = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Samples to compare on, as for calibrate; take others than for that.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Samples = Annotated[
    int | None,
    typer.Option(
        "--samples",
        metavar="N",
        help="Use N samples, spread evenly over the data, or drawn with --seed.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="S",
        help="Draw the --samples at random, the same for the same S.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        metavar="N",
        help="Run the model on N samples at once.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]
Ragged = Annotated[
    bool,
    typer.Option("--ragged", help="Let samples differ in shape.", rich_help_panel=_DATA),
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Where to write.", show_default=False)
]
Rules = Annotated[
    str, typer.Option("--rules", metavar="NAME|FILE", help="A recipe: a file, or a shipped one.")
]
MaybeRules = Annotated[
    str | None,
    typer.Option(
        "--rules",
        metavar="NAME|FILE",
        help="A recipe: a file, or a shipped one; by default trt-int8.",
        show_default=False,
    ),
]
Weights = Annotated[
    Literal["int8", "qdq"],
    typer.Option(
        "--weights",
        help="'int8' stores them as quantized, a quarter of the size; 'qdq' keeps them in float.",
    ),
]
ExistingPairs = Literal["refuse", "keep", "strip"]
Existing = Annotated[
    ExistingPairs,
    typer.Option("--existing", help="What to do with Q/DQ pairs that the model has already."),
]
Float = Annotated[
    Literal["fp32", "fp16", "bf16"],
    typer.Option("--float", help="What computes where there are no pairs."),
]
IoTypes = Annotated[
    Literal["keep", "half"],
    typer.Option("--io-types", help="With --float fp16 or bf16: of the inputs and outputs."),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Take warnings about your rules for errors.")
]
Shape = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="NAME:1x3x640x640",
        help="Shape of an input with dynamic sizes.",
        rich_help_panel=_DATA,
    ),
]
PreprocessName = Annotated[
    str | None,
    typer.Option(
        "--preprocess",
        metavar="NAME|FILE",
        help="How pictures become inputs: yolo, yolox, imagenet, unit, ppocr or a YAML file.",
        show_default=False,
        rich_help_panel=_DATA,
    ),
]

_LONG: Final = "Long runs"
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="Keep what was gathered in FILE, twice a minute and when stopped.",
        show_default=False,
        rich_help_panel=_LONG,
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on from the --checkpoint.", rich_help_panel=_LONG),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Take every N-th sample, from the I-th; 'calib merge' joins them.",
        show_default=False,
        rich_help_panel=_LONG,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="Share the samples out to N processes with Ray.",
        show_default=False,
        rich_help_panel=_LONG,
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Run the workers on this Ray cluster.",
        show_default=False,
        rich_help_panel=_LONG,
    ),
]
Provider = Annotated[
    str | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Where onnxruntime computes, such as cuda.",
        show_default=False,
        rich_help_panel=_LONG,
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="Look at no more activations at once than this, such as 2GB; takes several passes.",
        show_default=False,
        rich_help_panel=_LONG,
    ),
]

Backend = Annotated[
    Literal["auto", "tensorrt-rtx", "tensorrt", "onnxruntime"],
    typer.Option("--backend", help="'auto' compiles where TensorRT-RTX is installed."),
]
MinSqnr = Annotated[
    list[str] | None,
    typer.Option(
        "--min-sqnr",
        metavar="[OUTPUT:]DB",
        help="Least SQNR of every output, in dB, or of one by name; exit 1 when missed.",
        show_default=False,
    ),
]
MinCosine = Annotated[
    list[str] | None,
    typer.Option(
        "--min-cosine",
        metavar="[OUTPUT:]X",
        help="Least cosine, likewise.",
        show_default=False,
    ),
]
MinInt8 = Annotated[
    float | None,
    typer.Option("--min-int8", help="Least share of MACs in int8, 0 to 1.", show_default=False),
]
Timeout = Annotated[float, typer.Option("--timeout", help="Of the compiler, seconds.")]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="NAME:1x3x640x640",
        help="Shape of an input with dynamic sizes; or min/opt/max, as in "
        "x:1x3x320x320/1x3x640x640/8x3x640x640.",
    ),
]
Target = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="sm89,sm120",
        help="Compute capabilities to compile for.",
        show_default=False,
    ),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Compile again what was compiled before.")
]
Fp32Engine = Annotated[
    bool, typer.Option("--fp32-engine", help="Compile the FP32 model too, to compare the sizes.")
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
        if not name or not found[name] or not 0 < min(found[name]) <= max(found[name]) < 2**31:
            raise _unreadable_shape(text)
    return found


def _unreadable_shape(text: str) -> OnnxqError:
    return error(
        "OQ405",
        f"--shape '{text}' cannot be read",
        fix="write it like --shape images:1x3x640x640",
    )


def profiles(given: list[str] | None) -> dict[str, Profile]:
    """Read --shape options for the compiler: 'x:1x8/1x64/4x64' is the shapes min, opt and max."""
    from onnxq.verify.profiles import Profile, fixed

    found = {}
    for text in given or ():
        name, _, sizes = text.rpartition(":")
        each = [shapes([f"{name}:{part}"])[name] for part in sizes.split("/")]
        found[name] = Profile(*each) if len(each) == 3 else fixed(each[0])
        if len(each) not in (1, 3) or not found[name].is_ordered:
            raise error(
                "OQ405",
                f"--shape '{text}' is no range of shapes",
                fix="write the least, usual and largest one: x:1x3x320x320/1x3x640x640/4x3x640x640",
            )
    return found


def targets(given: list[str] | None) -> tuple[tuple[int, int], ...]:
    """Read --target options (OQ664), for which TensorRT-RTX must be installed (OQ601)."""
    if not given:
        return ()
    from onnxq.verify import targets as known
    from onnxq.verify import tensorrt

    tensorrt.require()
    return known.parse(given)


def require_float(float_type: str, io_types: str) -> None:
    """Refuse --io-types half where there is no half precision (OQ217)."""
    if float_type == "fp32" and io_types == "half":
        raise error(
            "OQ217",
            "--io-types half needs a float type that is half precision",
            fix="add --float fp16 or --float bf16",
        )


def output_path(path: Path, *inputs: Path | None, option: str = "-o") -> Path:
    """Return where to write, unless that is a file that is read (OQ502) or no place (OQ501)."""
    another = f"give another {option}"
    if not path.parent.is_dir():
        raise error("OQ501", f"the folder of '{path}' does not exist", fix=f"make it, or {another}")
    if not os.access(path.parent, os.W_OK | os.X_OK):  # better now than after hours
        raise error("OQ501", f"the folder of '{path}' cannot be written to", fix=another)
    if path.is_dir():
        raise error("OQ501", f"'{path}' is a folder", fix=f"give {option} the name of a file")
    for given in inputs:
        if given is not None and path.exists() and given.exists() and path.samefile(given):
            raise error("OQ502", f"'{path}' is one of the inputs", fix=another)
    return path


def read_model(path: Path, existing: ExistingPairs = "refuse") -> tuple[ModelProto, str]:
    """Read a model as every stage sees it, and its digest (OQ301 to OQ307, OQ530, OQ561).

    What cannot be taken out of a model that is stripped is told at once.
    """
    from rich.console import Console

    from onnxq import render
    from onnxq.model import io as models
    from onnxq.model.inlining import inline_functions
    from onnxq.model.strip import strip

    proto = inline_functions(models.load(path), path)
    models.refuse_integer_ops(proto, path)
    if existing == "refuse":
        models.refuse_pairs(proto, path)
    elif existing == "strip":
        stripped = strip(proto)
        render.diagnostics(Console(stderr=True), stripped.diagnostics)
        proto = stripped.model
    return models.prepare(proto, path), digest(path, existing)


def compare_raised(
    path: Path,
    existing: ExistingPairs,
    raised: ModelProto,
    shapes: Mapping[str, Sequence[int]],
) -> Raised | None:
    """What preparing did to a model's outputs; None when neither opset nor functions changed."""
    from onnxq.insertion import raising
    from onnxq.model import io as models
    from onnxq.model.strip import strip

    original = models.load(path)
    if not original.functions and models.opset(raised) == models.opset(original):
        return None
    original = strip(original).model if existing == "strip" else original
    return raising.compare_raised(original, raised, shapes)


def digest(path: Path, existing: ExistingPairs) -> str:
    """The digest of a model as a stage reads it: another one when its pairs are stripped."""
    from onnxq.model import io as models

    of_file = models.digest(path)
    return (
        hashlib.sha256(f"stripped {of_file}".encode()).hexdigest()
        if existing == "strip"
        else of_file
    )


def graph_of(
    model: Path, given: list[str] | None = None, existing: ExistingPairs = "refuse"
) -> Graph:
    """Read a model for planning, with --shape applied."""
    from onnxq.model import graph

    proto, of_model = read_model(model, existing)
    view = graph.Graph(proto, digest=of_model, shapes=shapes(given))
    gc.freeze()  # it lives to the end: looking at it again would cost a third of the planning
    return view


def refuse_warnings(found: Iterable[Diagnostic]) -> None:
    """Raise warnings as errors, for --strict."""
    from dataclasses import replace

    refused = [replace(d, severity=Severity.ERROR) for d in found]
    if refused:
        raise OnnxqError(*refused)


def consoles(*, as_json: bool, quiet: bool) -> tuple[Console, Console]:
    """Return the console for results (stdout) and for progress and warnings (stderr)."""
    from rich.console import Console

    # Names of files, nodes and tensors are data: brackets in them are no markup.
    return (
        Console(quiet=quiet or as_json, markup=False, highlight=False, soft_wrap=True),
        Console(stderr=True, markup=False, highlight=False, soft_wrap=True),
    )


def data_request(
    source: str,
    preprocess_name: str | None,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    samples: int | None,
    seed: int | None,
    batch: int | None,
    ragged: bool,
    recorded: str = "",
    calibrated: Mapping[str, tuple[int, ...]] | None = None,
) -> DataRequest:
    """What the options on data ask for.

    `recorded` and `calibrated` are the preprocessing and the input shapes of the calibration.
    """
    from onnxq import feeds
    from onnxq.feeds import preprocess

    named = preprocess.load(preprocess_name) if preprocess_name else None
    return feeds.DataRequest(
        source=source,
        shapes=shapes,
        otherwise_shapes=calibrated or {},
        preprocess=named,
        otherwise=preprocess.from_json(recorded) if recorded and named is None else None,
        samples=samples,
        seed=seed,
        batch=batch,
        ragged=ragged,
    )


def tell_data(console: Console, feed: Feed, name: str | None, *, recorded: bool = False) -> None:
    """Print how pictures become inputs, and whether somebody chose that, and their size."""
    from onnxq.feeds.preprocess import DEFAULT
    from onnxq.feeds.samples import shape_text

    if feed.preprocess is not None:
        default = f"{DEFAULT}, the default; --preprocess changes it"
        chosen = name or ("as calibrated" if recorded else default)
        console.print(f"preprocess: {feed.preprocess} ({chosen})")
    for name, (batch, *sizes) in feed.filled.items():
        shape = shape_text((batch or feed.batch.size, *sizes))
        console.print(f"shape: {name}:{shape} (as calibrated)")


def print_json(value: Mapping[str, Any]) -> None:
    """Print a result for machines."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))
