"""The options, each declared once; those that verbs take together are groups.

Help shows the panel "Options" first, with what people need first, and then the others in order.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from onnxq.cli import completion

_DATA: Final = "Data"
_CALIBRATION: Final = "Calibration"
_PAIRS: Final = "Q/DQ pairs"
_CHECKS: Final = "Checks"
_REPORT: Final = "Report"
_COMPILER: Final = "Compiler"
_LONG: Final = "Long runs"
_CUSTOM: Final = "Plugin and custom ops"

RECIPE: Final = "trt-int8"  # without --rules
ExistingPairs = Literal["refuse", "keep", "strip"]


def option(form: str, help: str, panel: str | None = None) -> Any:
    """An option of the form "-o --output FILE", or a flag; help shows a default that there is."""
    flags = [word for word in form.split() if word.startswith("-")]
    value = " ".join(word for word in form.split() if word not in flags)
    offered = completion.OFFERED.get(flags[-1])
    return typer.Option(
        *flags, help=help, metavar=value, rich_help_panel=panel, autocompletion=offered
    )


def output(name: str) -> Any:
    """The option on where to write, by default a file of this name."""
    return option("-o --output FILE", f"Where to write; by default {name} in the working folder.")


# What goes in and comes out.
FloatModel = Annotated[Path, typer.Argument(metavar="MODEL", help="The FP32 ONNX model.")]
MaybeModel = Annotated[
    Path | None,
    typer.Argument(metavar="MODEL", help="The FP32 model; by default the calibration's."),
]
QdqModel = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A Q/DQ model, from onnxq or any other tool.")
]
_SAMPLES: Final = (
    "What the model will see: a folder of pictures or of .npy or .npz files, one such file, "
    "Polygraphy's saved inputs, or FILE.py[:FUNCTION] that yields samples"
)
Data = Annotated[str, option("--data PATH", f"{_SAMPLES}.")]
DataForScales = Annotated[
    str | None, option("--data PATH", f"{_SAMPLES}; a recipe for weights alone needs none.")
]
MaybeData = Annotated[
    str | None,
    option("--data PATH", "Samples to compare on, as for calibrate; take others than for that."),
]
_PICTURES: Final = (
    "How pictures become inputs: yolo, yolox, imagenet, unit, ppocr or a YAML file; by default"
)
Preprocess = Annotated[str | None, option("--preprocess NAME|FILE", f"{_PICTURES} yolo.")]
PreprocessAgain = Annotated[
    str | None, option("--preprocess NAME|FILE", f"{_PICTURES} as for the calibration.")
]
_RECIPE: Final = "A recipe: a rule file of yours or a shipped one"
Rules = Annotated[str, option("--rules NAME|FILE", f"{_RECIPE}.")]
MaybeRules = Annotated[str | None, option("--rules NAME|FILE", f"{_RECIPE}; by default {RECIPE}.")]
Json = Annotated[bool, option("--json", "Print the result as JSON, for machines.")]
Quiet = Annotated[bool, option("-q --quiet", "Print only warnings and errors.")]

# Data.
_SHAPE: Final = "Shape of an input with dynamic sizes"
Shape = Annotated[list[str] | None, option("--shape NAME:1x3x640x640", f"{_SHAPE}.", _DATA)]
Profiles = Annotated[
    list[str] | None,
    option(
        "--shape NAME:SIZES",
        f"{_SHAPE}, x:1x3x640x640; or the least, usual and largest one to compile for, "
        "x:1x3x64x64/1x3x96x96/8x3x96x96.",
        _DATA,
    ),
]
VerifyData = Annotated[
    str | None,
    option("--verify-data PATH", "Other samples to compare on; those of --data flatter.", _DATA),
]
UsedCalibration = Annotated[
    Path | None,
    option(
        "--calibration FILE",
        "What the models were calibrated with, so that other samples are compared; by default "
        "the one beside a model that fits it.",
        _DATA,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which samples of the data are taken, and how many at once."""

    samples: Annotated[
        int | None,
        option(
            "--samples N", "Use N samples, spread evenly over the data or drawn by --seed.", _DATA
        ),
    ] = None
    seed: Annotated[
        int | None,
        option("--seed S", "Draw the --samples at random, the same for the same S.", _DATA),
    ] = None
    batch: Annotated[
        int | None, option("--batch N", "Run the model on N samples at once.", _DATA)
    ] = None
    ragged: Annotated[bool, option("--ragged", "Let samples differ in shape.", _DATA)] = False


# Calibration.
Calibration = Annotated[
    Path | None,
    option("--calibration FILE", "The calibration; by default the one in the working folder."),
]
ObservedRules = Annotated[
    str | None,
    option(
        "--rules NAME|FILE",
        "Observe only what this recipe quantizes; by default what any shipped one does.",
        _CALIBRATION,
    ),
]
Calibrator = Annotated[
    Literal["histogram", "max"],
    option(
        "--calibrator histogram|max",
        "'histogram' serves every method of a recipe; 'max' is faster and serves 'max' alone.",
        _CALIBRATION,
    ),
]
Shard = Annotated[
    str | None,
    option(
        "--shard I/N", "Take every N-th sample, from the I-th; 'calib merge' joins them.", _LONG
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRun:
    """How a long calibration runs."""

    checkpoint: Annotated[
        Path | None,
        option(
            "--checkpoint FILE",
            "Keep the statistics so far in FILE, twice a minute and when stopped.",
            _LONG,
        ),
    ] = None
    resume: Annotated[bool, option("--resume", "Go on from the --checkpoint.", _LONG)] = False
    workers: Annotated[
        int | None, option("--workers N", "Share the samples out to N processes with Ray.", _LONG)
    ] = None
    cluster: Annotated[
        str | None, option("--cluster ADDRESS", "Run the workers on this Ray cluster.", _LONG)
    ] = None
    provider: Annotated[
        str | None,
        option("--provider NAME", "Where onnxruntime computes, such as cuda; else the CPU.", _LONG),
    ] = None
    max_memory: Annotated[
        str | None,
        option(
            "--max-memory SIZE",
            "Look at no more activations at once than this, such as 2GB; takes several passes "
            "over the data.",
            _LONG,
        ),
    ] = None


OrtLibrary = Annotated[
    list[Path] | None,
    option(
        "--ort-library LIB",
        "A library of custom ops for onnxruntime, for a model that has such ops.",
        _CUSTOM,
    ),
]

# Pairs.
Plan = Annotated[
    Path | None,
    option("--plan FILE", "A plan that 'onnxq plan -o' saved, instead of --rules.", _PAIRS),
]
Existing = Annotated[
    ExistingPairs,
    option(
        "--existing refuse|keep|strip",
        "Of a model that has Q/DQ pairs already: refuse it, keep them and plan around them, or "
        "strip them first.",
        _PAIRS,
    ),
]
Strict = Annotated[bool, option("--strict", "Take warnings about your rules for errors.", _PAIRS)]


FloatType = Annotated[
    Literal["fp32", "fp16", "bf16"],
    option(
        "--float fp32|fp16|bf16",
        "Data type of all that has no pairs; a calibration for it observes what may exceed it.",
        _PAIRS,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What becomes of weights, of all that has no pairs, and of the opset."""

    weights: Annotated[
        Literal["int8", "qdq"],
        option(
            "--weights int8|qdq",
            "'int8' stores them quantized, a quarter of the size; 'qdq' keeps them in float.",
            _PAIRS,
        ),
    ] = "int8"
    float_type: FloatType = "fp32"
    io_types: Annotated[
        Literal["keep", "half"],
        option(
            "--io-types keep|half",
            "With --float fp16 or bf16: whether inputs and outputs stay FP32.",
            _PAIRS,
        ),
    ] = "keep"
    opset: Annotated[
        int | None,
        option(
            "--opset N",
            "Raise the model to this opset at least; by default to the first that the pairs need.",
            _PAIRS,
        ),
    ] = None


# Improvement.
_IMPROVEMENT: Final = "Improvement"
Improvement = Annotated[
    Path | None,
    option(
        "--improvement FILE", "What 'onnxq improve' made: numbers that lose less accuracy.", _PAIRS
    ),
]
Improve = Annotated[
    bool,
    option("--improve", "Improve the numbers of the model before the insertion.", _IMPROVEMENT),
]
LossParts = Annotated[
    list[str] | None,
    option(
        "--part NAME=OUTPUT[INDEX]",
        "Values of an output that count as much as all others of it, such as "
        "'scores=output0[:,4:]'.",
        _IMPROVEMENT,
    ),
]


JudgedParts = Annotated[
    list[str] | None,
    option(
        "--part NAME=OUTPUT[INDEX]",
        "Judge some channels of an output apart, scores=output0[:,4:]; without it, groups that "
        "differ much in power are.",
        _CHECKS,
    ),
]
Html = Annotated[
    Path | None,
    option("--html FILE", "Write one page with charts, which loads nothing.", _REPORT),
]
Everything = Annotated[bool, option("--all", "Cut no list.", _REPORT)]


Without = Annotated[
    list[str] | None,
    option(
        "--without NAME", "Leave out an improver, such as learn; may be repeated.", _IMPROVEMENT
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvers:
    """Which improvers run, and what they lower."""

    without: Without = None
    loss: Annotated[
        Path | None,
        option(
            "--loss FILE.py",
            "A Python file whose function loss(float_outputs, outputs) is to become lower.",
            _IMPROVEMENT,
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """The arguments of the functions that improve."""
        return {"without": self.without or (), "loss": self.loss}


Checkpoint = Annotated[
    Path | None,
    option("--checkpoint FILE", "Keep what is done so far in FILE, to go on when stopped.", _LONG),
]
Resume = Annotated[bool, option("--resume", "Go on from the --checkpoint.", _LONG)]


# Checks.
@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """What is compared and compiled, what must come of it, and how it is reported."""

    min_sqnr: Annotated[
        list[str] | None,
        option(
            "--min-sqnr [NAME:]DB",
            "Exit 1 unless every output, or the output or part of this name, has this "
            "signal-to-noise ratio.",
            _CHECKS,
        ),
    ] = None
    min_cosine: Annotated[
        list[str] | None,
        option("--min-cosine [NAME:]X", "Likewise this cosine with the FP32 output.", _CHECKS),
    ] = None
    min_int8: Annotated[
        float | None,
        option(
            "--min-int8 SHARE", "Likewise this share, 0 to 1, of multiplications in int8.", _CHECKS
        ),
    ] = None
    min_quantized: Annotated[
        float | None,
        option("--min-quantized SHARE", "Likewise this share in int8, fp8 or int4.", _CHECKS),
    ] = None
    parts: Annotated[
        list[str] | None,
        option(
            "--part NAME=OUTPUT[INDEX]",
            "Compare some channels of an output apart, scores=output0[:,4:]; without it, groups "
            "that differ much in power are.",
            _CHECKS,
        ),
    ] = None
    detections: Annotated[
        str | None,
        option(
            "--detections yolo|yolox|ssd|FILE.py",
            "Compare what a detector finds: how many detections are kept and how many are new.",
            _CHECKS,
        ),
    ] = None
    detection_score: Annotated[
        float | None,
        option("--detection-score X", "The least score of a detection; by default 0.25.", _CHECKS),
    ] = None
    min_kept: Annotated[
        float | None,
        option("--min-kept SHARE", "Likewise this share of the FP32 model's detections.", _CHECKS),
    ] = None
    max_new: Annotated[
        float | None,
        option(
            "--max-new SHARE",
            "Exit 1 if it has more detections of its own than this share.",
            _CHECKS,
        ),
    ] = None
    max_cost_ratio: Annotated[
        float | None,
        option(
            "--max-cost-ratio X",
            "With --gpu: exit 1 if it needs more than X of the FP16 engine's least time.",
            _CHECKS,
        ),
    ] = None
    labels: Annotated[
        Path | None,
        option(
            "--labels CSV",
            "File name and class of each sample: top-1 and top-5 of a classifier.",
            _CHECKS,
        ),
    ] = None
    max_top1_drop: Annotated[
        float | None,
        option(
            "--max-top1-drop POINTS",
            "Exit 1 if top-1 is more than POINTS below the FP32 model's.",
            _CHECKS,
        ),
    ] = None
    tensors: Annotated[
        bool,
        option(
            "--tensors",
            "Compare every pair and weighted op too, to find where accuracy goes.",
            _CHECKS,
        ),
    ] = False
    html: Annotated[
        Path | None,
        option(
            "--html FILE",
            "Write the report as one page with charts, which loads nothing.",
            _REPORT,
        ),
    ] = None
    everything: Annotated[bool, option("--all", "Cut no list.", _REPORT)] = False
    backend: Annotated[
        Literal["auto", "tensorrt-rtx", "tensorrt", "onnxruntime"],
        option(
            "--backend NAME",
            "'tensorrt-rtx' or 'tensorrt' compiles, 'onnxruntime' only compares; 'auto' compiles "
            "where TensorRT-RTX is installed.",
            _COMPILER,
        ),
    ] = "auto"
    targets: Annotated[
        list[str] | None,
        option("--target sm89,sm120", "GPUs to compile for, by compute capability.", _COMPILER),
    ] = None
    fp32_engine: Annotated[
        bool,
        option("--fp32-engine", "Compile the FP32 model too, to compare the sizes.", _COMPILER),
    ] = False
    keep_engine: Annotated[
        Path | None, option("--keep-engine FILE", "Write the compiled engine to FILE.", _COMPILER)
    ] = None
    gpu: Annotated[
        str | None,
        option(
            "--gpu l4|orin|..|FILE",
            "Bytes, multiplications and least time on this GPU, beside FP16 and FP32 engines, with "
            "what to do where INT8 loses.",
            _COMPILER,
        ),
    ] = None
    timeout: Annotated[
        float, option("--timeout SECONDS", "Stop a compiler that takes longer.", _COMPILER)
    ] = 600
    no_cache: Annotated[
        bool, option("--no-cache", "Compile again what was compiled before.", _COMPILER)
    ] = False
    plugin: Annotated[
        list[Path] | None,
        option("--plugin LIB", "A library of plugins for TensorRT.", _CUSTOM),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """The arguments of `onnxq.verify`."""
        values = asdict(self)
        del values["everything"]
        no_cache = values.pop("no_cache")
        return {
            **values,
            "targets": self.targets or (),
            "plugin": self.plugin or (),
            "cache": not no_cache,
        }


PageRules = Annotated[
    list[str] | None,
    option(
        "--rules NAME|FILE",
        "A recipe that made one of the models, so that the page has its decisions; shipped ones "
        "are found.",
        _REPORT,
    ),
]
PagePlans = Annotated[list[Path] | None, option("--plan FILE", "Likewise a saved plan.", _REPORT)]
