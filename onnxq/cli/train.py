"""onnxq train: a Q/DQ model closer to the float model, by training all of it at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from onnxq.cli import options, shapes
from onnxq.cli.screen import QuietScreen
from onnxq.outputs import require_writable

HELP = "Train weights, biases and amax of a Q/DQ model against the float model."
EXAMPLE = "Example: `onnxq train model.qdq.onnx --teacher model.onnx --data imgs/ --epochs 10`"
_TRAINING = "Training"


def run(
    model: options.QdqModel,
    *,
    teacher: Annotated[
        Path, options.option("--teacher MODEL", "The FP32 model that it was made from.")
    ],
    data: options.Data,
    preprocess: options.Preprocess = None,
    output: Annotated[Path | None, options.output("MODEL.trained.onnx")] = None,
    screen: QuietScreen,
    epochs: Annotated[
        int, options.option("--epochs N", "How often all samples are trained on.", _TRAINING)
    ] = 10,
    batch: Annotated[
        int, options.option("--batch N", "How many samples make a step.", _TRAINING)
    ] = 8,
    rate: Annotated[
        float, options.option("--rate X", "Multiply the usual learning rates.", _TRAINING)
    ] = 1.0,
    patience: Annotated[
        int | None,
        options.option("--patience N", "Stop after N epochs of which none was better.", _TRAINING),
    ] = None,
    learn: Annotated[
        Literal["all", "amax"],
        options.option(
            "--learn all|amax", "'amax' leaves weights and biases as they are.", _TRAINING
        ),
    ] = "all",
    loss: Annotated[
        str | None,
        options.option(
            "--loss FILE.py:FUNCTION",
            "A function of yours that torch differentiates, in place of the noise at the outputs.",
            _TRAINING,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        options.option(
            "--metric FILE.py:FUNCTION",
            "A function of yours that scores outputs and so chooses the epoch.",
            _TRAINING,
        ),
    ] = None,
    log: Annotated[
        Path | None,
        options.option("--log CSV", "Write a row for each epoch, to plot.", _TRAINING),
    ] = None,
    shape: options.Shape = None,
    samples: Annotated[
        int | None,
        options.option("--samples N", "Use N samples, spread evenly over the data.", "Data"),
    ] = None,
    seed: Annotated[
        int | None,
        options.option("--seed S", "Draw --samples and batches otherwise than by 0.", "Data"),
    ] = None,
    ragged: Annotated[
        bool, options.option("--ragged", "Let samples differ in shape.", "Data")
    ] = False,
    part: options.JudgedParts = None,
    checkpoint: Annotated[
        Path | None,
        options.option("--checkpoint FILE", "Keep the state of every epoch in FILE.", "Long runs"),
    ] = None,
    resume: options.Resume = False,
    ort_library: options.OrtLibrary = None,
) -> None:
    """Write the model of the epoch that samples held out find best."""
    import onnxq

    path = output or Path(f"{model.stem}.trained.onnx")
    require_writable({"the model": path}, (model, teacher))
    with screen.progress() as progress:
        result = onnxq.train(
            model,
            teacher,
            data,
            epochs=epochs,
            batch=batch,
            rate=rate,
            patience=patience,
            learn=learn,
            loss=loss,
            metric=metric,
            parts=part,
            preprocess=preprocess,
            shapes=shapes.fixed(shape),
            samples=samples,
            seed=seed,
            ragged=ragged,
            checkpoint=checkpoint,
            resume=resume,
            ort_library=ort_library or (),
            output=path,
            log=log,
            progress=progress,
        )
    screen.show(result)
