"""Model x data -> Statistics: one pass of onnxruntime, observed tensors counted as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import onnx
from numpy.typing import NDArray

from onnxq import ops
from onnxq.descriptor import Calibrator
from onnxq.diagnostics import Diagnostic, OnnxqError, error, first_line
from onnxq.existing import is_quantized
from onnxq.feeds import Feed
from onnxq.graph import Graph
from onnxq.histogram import Accumulator, HistogramAccumulator, RangeAccumulator
from onnxq.plan import Plan
from onnxq.samples import Tensors
from onnxq.sessions import open_session, with_outputs
from onnxq.statistics import Statistics, TensorStatistics, add_digests, short_digests

if TYPE_CHECKING:
    import onnxruntime


def observed_tensors(graph: Graph, plan: Plan | None = None) -> tuple[str, ...]:
    """Activations to observe: those that a plan quantizes, else all that could be quantized."""
    if plan is None:
        return tuple(t for t in ops.observable(graph) if not is_quantized(graph, t))
    return tuple(dict.fromkeys(p.tensor for p in plan.pairs if p.kind == "activation"))


def calibrate(
    model: onnx.ModelProto,
    graph: Graph,
    feed: Feed,
    *,
    tensors: Iterable[str],
    model_name: str = "",
    calibrator: Calibrator = "histogram",
    plan: Plan | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Statistics:
    """Run the model over the feed and return the statistics of `tensors`.

    Those that turn out not to be float32 are left out, or refused before anything runs when `plan`
    quantizes them (OQ213). Memory does not grow with the number of samples; `progress` is called
    after each. Raises OQ305 when onnxruntime cannot load or run the model, and what feeds raise.
    """
    make = HistogramAccumulator if calibrator == "histogram" else RangeAccumulator
    asked = tuple(tensors)
    inner = [name for name in asked if name not in graph.inputs]
    session = open_session(with_outputs(model, inner))
    floats = _floats(session)
    if plan is not None:
        _require_floats(plan, floats)
    seen: dict[str, Accumulator] = {name: make() for name in asked if name in floats}
    inner = [name for name in inner if name in seen]
    digests: list[str] = []
    parts: list[str] = []
    shapes: dict[str, tuple[int, ...]] = {}
    for sample in feed:
        values = run(session, inner, sample.tensors, sample.name)
        for name, accumulator in seen.items():
            accumulator.observe(values[name])
        digests.append(sample.digest)
        parts.extend(sample.digests)
        shapes = shapes or {name: array.shape for name, array in sample.tensors.items()}
        progress()
    return Statistics(
        model_name=model_name,
        model_digest=graph.digest,
        calibrator=calibrator,
        data_digest=add_digests(*digests),
        samples=len(digests),
        preprocess="" if feed.preprocess is None else feed.preprocess.model_dump_json(),
        data=feed.unreal,
        input_shapes=shapes,
        sample_digests=short_digests(parts),
        tensors={
            name: TensorStatistics(values=accumulator.freeze(), samples=len(digests))
            for name, accumulator in seen.items()
        },
    )


def _require_floats(plan: Plan, floats: set[str]) -> None:
    found = [
        Diagnostic(
            code="OQ213",
            message=f"rule '{d.because.rule}': '{d.tensor}' of '{d.edge.node}' is not float32",
            fix="name only ports that hold float32 data",
            span=d.because.span,
        )
        for d in plan.decisions
        if d.kind == "activation" and d.descriptor and d.tensor not in floats
    ]
    if found:
        raise OnnxqError(*found)


def _floats(session: onnxruntime.InferenceSession) -> set[str]:
    """Names of the inputs and outputs of type float32."""
    ports = (*session.get_inputs(), *session.get_outputs())
    return {port.name for port in ports if port.type == "tensor(float)"}


def run(
    session: onnxruntime.InferenceSession, outputs: list[str], tensors: Tensors, sample: str
) -> Mapping[str, NDArray[Any]]:
    """Return the outputs, and the inputs, by name (OQ305)."""
    try:
        arrays = session.run(outputs, dict(tensors)) if outputs else []  # [] would mean all
    except Exception as reason:
        raise error(
            "OQ305",
            f"onnxruntime cannot run the model on '{sample}': {first_line(reason)}",
            fix="check the input shapes; --shape gives those that are dynamic",
        ) from None
    return {**tensors, **dict(zip(outputs, arrays, strict=True))}
