"""What the engines of a report cost: the Q/DQ model's, and the float model's in FP16 and FP32."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat
from pathlib import Path

from onnx import ModelProto

from onnxq.calibration.statistics import Statistics
from onnxq.cores import cores
from onnxq.cost.engine import EngineCost, EngineTypes, engine_cost
from onnxq.cost.gpu import Gpu
from onnxq.cost.losses import EngineView, Product, losses
from onnxq.cost.report import CostReport
from onnxq.diagnostics import Diagnostic, OnnxqError, warning
from onnxq.kernels.conversions import conversion_kinds
from onnxq.linting import lint
from onnxq.model import io as model_io
from onnxq.verification import tensorrt
from onnxq.verification.compiled import CompiledOp
from onnxq.verification.engines import fp16_model
from onnxq.verification.profiles import fixed
from onnxq.verification.subjects import FloatSubject, QdqSubject
from onnxq.verification.tensorrt import DEFAULTS, Compiled, CompileOptions


@dataclass(frozen=True, kw_only=True, eq=False)
class Costing:
    """The costs of Q/DQ models of one float model. Engines are built for the usual shapes only."""

    float_model: FloatSubject
    options: CompileOptions
    gpu: Gpu
    calibration: Statistics | None = None

    def report(self, subject: QdqSubject) -> CostReport | Diagnostic:
        """The costs of a Q/DQ model's engine and of the float model's, or why there are none."""
        try:
            compiled = tensorrt.compile_model(
                subject.path, self._options, model=subject.model, digest=subject.digest
            )
            cost = cost_of("qdq", compiled, self.gpu)
        except OnnxqError as failed:
            return failed.diagnostics[0]
        of_float = [engine for engine in self._of_float if isinstance(engine, EngineCost)]
        fp16 = next((engine for engine in of_float if engine.types == "fp16"), None)
        return CostReport(
            gpu=self.gpu.name,
            source=self.gpu.source,
            engines=(cost, *of_float),
            losses=losses(_view(compiled, cost, fp16)),
            notes=tuple(x for x in self._of_float if isinstance(x, Diagnostic)),
        )

    @cached_property
    def _options(self) -> CompileOptions:
        return _of_usual_shapes(self.options)

    @cached_property
    def _of_float(self) -> tuple[EngineCost | Diagnostic, ...]:
        """The engines of the float model in FP16 and FP32, or why there is none."""
        with tempfile.TemporaryDirectory(prefix="onnxq-") as folder:
            return self._built("fp16", Path(folder)), self._built("fp32", Path(folder))

    def _built(self, types: EngineTypes, folder: Path) -> EngineCost | Diagnostic:
        path = self.float_model.path
        try:
            if types == "fp16":
                path = fp16_model(path, folder, self.calibration)
            return cost_of(types, tensorrt.compile_model(path, self._options), self.gpu)
        except OnnxqError as failed:
            reason = failed.diagnostics[0]
            message = f"there is no {types.upper()} engine to compare costs with: {reason.message}"
            return warning("OQ691", message, fix=reason.fix)


def engine_costs(
    models: Sequence[str | Path | ModelProto],
    gpu: Gpu,
    options: CompileOptions = DEFAULTS,
    *,
    workers: int | None = None,
) -> tuple[EngineCost | Diagnostic, ...]:
    """The cost of each model's engine, or why there is none: what a search can minimize.

    `workers` engines are built side by side, by default one a core; builds are kept as those of
    `verify`. Inputs of any size need a profile in `options`; the usual shape counts.
    """

    def cost(index: int, model: str | Path | ModelProto, folder: Path) -> EngineCost | Diagnostic:
        path = folder / f"{index}.onnx" if isinstance(model, ModelProto) else model
        if isinstance(model, ModelProto):
            model_io.save(model, folder / f"{index}.onnx")
        try:
            return cost_of("qdq", tensorrt.compile_model(path, _of_usual_shapes(options)), gpu)
        except OnnxqError as failed:
            return failed.diagnostics[0]

    with (
        tempfile.TemporaryDirectory(prefix="onnxq-") as folder,
        ThreadPoolExecutor(workers or cores()) as pool,
    ):
        return tuple(pool.map(cost, range(len(models)), models, repeat(Path(folder))))


def _of_usual_shapes(options: CompileOptions) -> CompileOptions:
    """The options with a profile of one shape for each input: only then all sizes are listed."""
    profiles = {name: fixed(profile.opt) for name, profile in options.profiles.items()}
    return replace(options, profiles=profiles)


def cost_of(types: EngineTypes, compiled: Compiled, gpu: Gpu) -> EngineCost:
    """The cost of an engine that is built; OQ691 when the compiler does not list all sizes."""
    model = compiled.built.model
    return engine_cost(
        types,
        compiled.layers,
        conversion_kinds(model, compiled.layers),
        _macs(compiled),
        outputs=[output.name for output in model.named.graph.output],
        gpu=gpu,
        left_out=[op.node for op in compiled.ops if op.macs is None or not op.layers],
    )


def _view(compiled: Compiled, cost: EngineCost, fp16: EngineCost | None) -> EngineView:
    built = compiled.built.model
    products = [
        Product(node=op.node, dtype=op.dtype, reason=op.reason, kernel=(*op.layers, "")[0])
        for op in compiled.ops
        if op.node in built.graph.by_name
    ]
    return EngineView(
        model=built,
        findings=lint(built),
        layers=compiled.layers.layers,
        products=products,
        cost=cost,
        fp16=fp16,
    )


def _macs(compiled: Compiled) -> Mapping[str, Mapping[str, int]]:
    """Multiplications by type, by the first of the layers that compute an op."""
    macs: dict[str, Counter[str]] = {}
    for op in compiled.ops:
        if op.layers and op.macs:
            macs.setdefault(op.layers[0], Counter())[_type(op, compiled)] += op.macs
    return {layer: dict(counts) for layer, counts in macs.items()}


def _type(op: CompiledOp, compiled: Compiled) -> str:
    """The type that an op multiplies. Weights in int4 are multiplied in the type of the data."""
    if op.dtype and op.dtype != "int4":
        return op.dtype
    layers: Iterable[str] = (x.dtype for x in compiled.layers.layers if x.name == op.layers[0])
    return next(filter(None, layers), "fp32")
