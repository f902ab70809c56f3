"""sensitivity: which pairs and ops bring the noise of a Q/DQ model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from onnx import ModelProto

from onnxq.api.data import PathOrPaths, Selection, Shapes
from onnxq.api.planning import RECIPE, PlanLike
from onnxq.api.requirements import require_again, require_page
from onnxq.api.studies import files_of, study_of
from onnxq.calibration.statistics import Statistics
from onnxq.feeds.preprocess import Preprocess
from onnxq.files import whole_file
from onnxq.improvement.improvement import Improvement
from onnxq.improvement.samples import held
from onnxq.model.loading import Existing, Model
from onnxq.outputs import require_writable
from onnxq.progress import OnProgress, Progress, silent
from onnxq.sensitivities.measuring import measure
from onnxq.sensitivities.sensitivity import Sensitivity
from onnxq.verification.numeric.parts import PartsLike

SAMPLES: Final = 32  # of the data, where nobody says how many


def sensitivity(
    model: str | Path | ModelProto | Model,
    data: Any,
    plan: PlanLike = RECIPE,
    statistics: Statistics | str | Path | None = None,
    *,
    improvement: Improvement | str | Path | None = None,
    parts: PartsLike | None = None,
    preprocess: str | Path | Preprocess | None = None,
    shapes: Shapes | None = None,
    samples: int | None = None,
    seed: int | None = None,
    batch: int | None = None,
    ragged: bool = False,
    existing: Existing = "refuse",
    ort_library: PathOrPaths = (),
    calibration_output: str | Path | None = None,
    html: str | Path | None = None,
    progress: OnProgress = silent,
) -> Sensitivity:
    """Rank pairs and ops by the noise power that each alone brings to the outputs.

    Noise is relative to the signal power of each part of the outputs: `parts` as for `verify`.
    With torch all pairs are ranked by gradients and the worst of them measured; where torch lacks
    an operator, and without torch, pairs are switched on one at a time (OQ480). `statistics` are
    those of `calibrate`; without them the data is calibrated on first, and `calibration_output` is
    a file for that. `samples` is how many of the data are used; without it the calibration is made
    of all of them, and 32 are looked at. `seed` draws them, and the random numbers of gradients.
    `improvement` is what `improve` made for the same plan. `html` is a page to write.
    Raises OQ411, OQ476, OQ477, OQ481, OQ670, OQ680, and what `plan` and reading the data raise.
    """
    study = study_of(
        model,
        data,
        plan,
        statistics,
        parts=parts,
        preprocess=preprocess,
        shapes=shapes,
        selection=Selection(
            samples=samples, seed=seed if samples else None, batch=batch, ragged=ragged
        ),
        existing=existing,
        ort_library=ort_library,
    )
    improved = Improvement.load(improvement) if isinstance(improvement, str | Path) else improvement
    calibration_path, page = (None if p is None else Path(p) for p in (calibration_output, html))
    inputs = (*files_of(study), None if improved is None else improved.path)
    require_writable({"the calibration": calibration_path, "--html": page}, inputs)
    require_page(page)
    if study.statistics is None:
        require_again(data, "sensitivity", "statistics")
    looked_at = replace(study.request, samples=samples or SAMPLES, seed=seed)
    feed = looked_at.open(study.model.graph)
    some = held(feed)
    gathered = study.calibrated(feed, "ranking", calibration_path, progress)
    subject = study.subject(gathered)
    if improved is not None:
        improved.require_fits(study.plan, gathered)
        subject = subject.restored(improved.edits(subject.scales))
    result = measure(
        subject,
        study.judge([sample.tensors for sample in some.samples]),
        seed or 0,
        lambda stage, done, total: progress(Progress(stage=stage, done=done, total=total)),
    )
    of_data = [d for d in feed.warnings if samples or d.code != "OQ427"]  # nobody asked for so many
    diagnostics = (*study.plan.diagnostics, *of_data, *some.diagnostics, *result.diagnostics)
    result = replace(result, diagnostics=diagnostics)
    if page is not None:
        text = result.to_html()
        with whole_file(page) as part:
            part.write_text(text, encoding="utf-8")
    return result
