"""Models in Polygraphy's onnxruntime runner, with its exceptions as coded errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import onnx
from onnx import TensorProto, TypeProto

from onnxq.diagnostics import error, first_line
from onnxq.feeds.samples import Tensors
from onnxq.sessions import Libraries, index_error, open_session
from onnxq.verification.numeric.draws import with_equal_draws
from onnxq.verification.numeric.half_rounding import with_rounding


@contextmanager
def runner(
    model: onnx.ModelProto, called: str, libraries: Libraries = (), *, as_written: bool = True
) -> Iterator[Any]:
    """Open a model for runs on the CPU, each op in the type of the file: float16 is rounded.

    `called` is the name of the model in OQ305, for a model that cannot be opened. `libraries` have
    its custom ops. Unless `as_written`, onnxruntime optimizes a model that has neither pairs nor
    float16, which changes the last bits of its outputs.
    """
    from polygraphy.backend.onnxrt import OnnxrtRunner
    from polygraphy.logger import G_LOGGER

    drawn = with_equal_draws(model)
    written = with_rounding(drawn)
    session = open_session(
        written, called=called, as_written=as_written or written is not drawn, libraries=libraries
    )
    opened = OnnxrtRunner(session, name=called)
    opened.checks_inputs = all(_is_checked(i.type.tensor_type) for i in model.graph.input)
    with G_LOGGER.verbosity(G_LOGGER.CRITICAL + 1):  # its errors reach us as exceptions
        opened.activate()
        try:
            yield opened
        finally:
            opened.deactivate()


def _is_checked(tensor: TypeProto.Tensor) -> bool:
    """Whether Polygraphy knows which samples an input takes.

    Of one without a shape, which takes any, onnxruntime says that it is a scalar; and texts are
    objects in NumPy, which Polygraphy takes for another type.
    """
    return tensor.HasField("shape") and tensor.elem_type != TensorProto.STRING


def infer(runner: Any, tensors: Tensors) -> Mapping[str, Any]:
    """Every output by name. OQ404 when the tensors do not fit, OQ305 and OQ407 when it fails."""
    # Not through Comparator.run: it either keeps the outputs of every sample, or (streaming)
    # transposes and casts samples that do not fit instead of refusing them.
    from polygraphy.exception import PolygraphyException

    try:
        outputs: Mapping[str, Any] = runner.infer(dict(tensors), check_inputs=runner.checks_inputs)
    except PolygraphyException as reason:
        message = " ".join(str(reason).split())
        raise error("OQ404", message, fix="give samples that fit the model's inputs") from None
    except Exception as reason:
        if (of_index := index_error(reason, tensors, "a sample")) is not None:
            raise of_index from None
        raise error(
            "OQ305",
            f"onnxruntime cannot run {runner.name}: {first_line(reason)}",
            fix="give models that onnxruntime runs on the CPU",
        ) from None
    return outputs
