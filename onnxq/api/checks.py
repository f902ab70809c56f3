"""The options of checks, which verify and quantize share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnx import ModelProto

from onnxq.api.data import PathOrPaths
from onnxq.cost.gpu import Gpu
from onnxq.cost.gpu import load as load_gpu
from onnxq.diagnostics import OnnxqError, error, require_choice
from onnxq.model.graph import Graph
from onnxq.runnable import libraries
from onnxq.verification import plugins, tensorrt
from onnxq.verification import targets as compute_capabilities
from onnxq.verification.detections import DecoderLike, load_decoder
from onnxq.verification.labels import class_names
from onnxq.verification.labels import load as load_labels
from onnxq.verification.numeric.parts import PartsLike, parse_parts
from onnxq.verification.profiles import Profile
from onnxq.verification.tensorrt import CompileOptions
from onnxq.verification.thresholds import Limits, Thresholds, thresholds
from onnxq.verification.verifying import Backend, Checks


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What is compared and compiled, and the limits, as a caller gives them (`verify`)."""

    parts: PartsLike | None
    tensors: bool
    labels: str | Path | None
    detections: DecoderLike | None
    detection_score: float | None
    min_sqnr: Limits | None
    min_cosine: Limits | None
    min_int8: float | None
    min_quantized: float | None
    min_kept: float | None
    max_new: float | None
    max_top1_drop: float | None
    max_cost_ratio: float | None
    backend: Backend
    targets: Sequence[str]
    timeout: float
    cache: bool
    fp32_engine: bool
    keep_engine: str | Path | None
    gpu: str | Path | None
    ort_library: PathOrPaths
    plugin: PathOrPaths

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read, which must not be overwritten."""
        several = (self.ort_library, self.plugin)
        named = (x for some in several for x in ([some] if isinstance(some, str | Path) else some))
        paths = (self.labels, self.detections, self.gpu, *named)
        return tuple(Path(x) for x in paths if isinstance(x, str | Path))

    def require_data(self, data: Any) -> None:
        """Raise OQ651, OQ654, OQ680 and OQ682 for options that nothing is compared for."""
        if problem := next(self._without_effect(has_data=data is not None), None):
            raise problem

    def checks(self, profiles: dict[str, Profile]) -> Checks:
        """The checks that need no model (OQ601, OQ650, OQ664, OQ667, OQ69x)."""
        require_choice("backend", self.backend, Backend)
        if not self.timeout > 0:  # neither is NaN
            message = f"the time limit is {self.timeout:g} seconds"
            raise error("OQ217", message, fix="give --timeout a number above 0")
        tensorrt.require_backend(self.backend)
        if self.targets:
            tensorrt.require()
        return Checks(
            tensors=self.tensors,
            labels=None if self.labels is None else load_labels(self.labels),
            backend=self.backend,
            compiling=CompileOptions(
                profiles=profiles,
                targets=compute_capabilities.parse(self.targets) if self.targets else (),
                timeout=self.timeout,
                cache=self.cache,
                plugins=plugins.libraries(self.plugin),
                libraries=libraries(self.ort_library),
            ),
            fp32_engine=self.fp32_engine,
            engine=self._engine(),
            gpu=self._gpu(),
        )

    def _engine(self) -> Path | None:
        """The file for the engine; OQ667 where none is built."""
        if self.keep_engine is None:
            return None
        if self.backend == "onnxruntime":
            fix = "leave out one of the two"
            message = "--keep-engine keeps an engine, and --backend onnxruntime builds none"
            raise error("OQ667", message, fix=fix)
        if self.backend == "auto":
            tensorrt.require()
        return Path(self.keep_engine)

    def _gpu(self) -> Gpu | None:
        """The GPU to compute costs for (OQ690, OQ691, and OQ103 and OQ104 for a file)."""
        if self.gpu is not None and self.backend == "onnxruntime":
            raise error(
                "OQ691",
                "--gpu asks for the cost of engines, and --backend onnxruntime builds none",
                fix="leave out one of the two",
            )
        return None if self.gpu is None else load_gpu(self.gpu)

    def for_model(
        self, checks: Checks, model: ModelProto, graph: Graph | None
    ) -> tuple[Checks, Thresholds]:
        """The checks with what depends on a model, and the limits (OQ680, OQ682, OQ65x).

        `graph` is needed where there are `parts`.
        """
        parts = () if graph is None else parse_parts(self.parts, graph)
        detections = None
        if self.detections is not None:
            classes = len(set(class_names(model).values()))
            detections = load_decoder(self.detections, self.detection_score, classes)
        limits = thresholds(
            [output.name for output in model.graph.output],
            parts=[part.name for part in parts],
            sqnr=self.min_sqnr,
            cosine=self.min_cosine,
            int8=self.min_int8,
            quantized=self.min_quantized,
            kept=self.min_kept,
            new=self.max_new,
            top1_drop=self.max_top1_drop,
            cost_ratio=self.max_cost_ratio,
        )
        return replace(checks, parts=parts, detections=detections), limits

    def _without_effect(self, *, has_data: bool) -> Iterator[OnnxqError]:
        of_data = {
            "--labels": ("OQ651", self.labels),
            "--part": ("OQ680", self.parts or None),
            "--detections": ("OQ682", self.detections),
        }
        for option, (code, value) in of_data.items():
            if value is not None and not has_data:
                yield error(code, f"{option} has no effect without --data", fix="give both")
        if self.max_top1_drop is not None and self.labels is None:
            fix = "add --labels CSV"
            yield error("OQ654", "--max-top1-drop has no effect without --labels", fix=fix)
        if self.max_cost_ratio is not None and self.gpu is None:
            fix = "name the GPU, as in --gpu l4"
            yield error("OQ654", "--max-cost-ratio has no effect without --gpu", fix=fix)
        of_detections = {
            "--detection-score": self.detection_score,
            "--min-kept": self.min_kept,
            "--max-new": self.max_new,
        }
        for option, limit in of_detections.items():
            if limit is not None and self.detections is None:
                fix = "add --detections yolo, yolox, ssd or FILE.py"
                yield error("OQ682", f"{option} has no effect without --detections", fix=fix)
