"""Optimization profiles: the shapes that an engine is built for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import onnx

from onnxq.diagnostics import Diagnostic, error
from onnxq.feeds.samples import shape_example
from onnxq.model.graph import Graph, Shape, declares


class Profile(NamedTuple):
    """The least, usual and largest shape of one input; the fields have TensorRT's names."""

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]

    @property
    def is_ordered(self) -> bool:
        """True when all shapes have one rank, and no size decreases from min to opt to max."""
        if len({len(shape) for shape in self}) > 1:
            return False
        return all(list(sizes) == sorted(sizes) for sizes in zip(*self, strict=True))


def fixed(shape: Sequence[int]) -> Profile:
    """The profile of an input that always has one shape."""
    return Profile(tuple(shape), tuple(shape), tuple(shape))


def for_data(
    profiles: Mapping[str, Profile], shapes: Mapping[str, Sequence[int]]
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """The shapes that samples must have, and those of data that takes any, such as random data.

    A profile with a range says what the engine takes; samples may have any shape in it. `shapes`
    are of inputs that have no profile.
    """
    ranges = {name: p.opt for name, p in profiles.items() if len(set(p)) > 1}
    exact = {**shapes, **{name: p.opt for name, p in profiles.items()}}
    return {n: tuple(s) for n, s in exact.items() if n not in ranges}, ranges


def not_declared(model: onnx.ModelProto, profiles: Mapping[str, Profile]) -> dict[str, Profile]:
    """The profiles of the inputs whose sizes the model does not fix."""
    return {n: p for n, p in profiles.items() if not declares(model, {n: p.opt})}


def of_dynamic_inputs(graph: Graph, profiles: Mapping[str, Profile]) -> dict[str, Profile]:
    """The profiles of the inputs with dynamic dimensions; OQ405 if one is missing or misfits."""
    needed = {}
    for name, shape in ((n, graph.type(n).shape) for n in graph.inputs):
        if shape is None or not all(isinstance(d, int) and d >= 0 for d in shape):
            if name not in profiles:
                raise error(
                    "OQ405",
                    f"input '{name}' has no fixed shape ({_text(shape)})",
                    fix=f"give it, as in {shape_example(name, shape or (None,) * 4)}",
                )
            _require_fit(name, shape, profiles[name])
            needed[name] = profiles[name]
    return needed


def _require_fit(name: str, shape: Shape | None, profile: Profile) -> None:
    for sizes in profile:
        if shape is not None and not _fits(sizes, shape):
            raise error(
                "OQ405",
                f"input '{name}' has the shape {_text(shape)}, which {_text(sizes)} does not fit",
                fix="give every dimension, and the fixed ones as they are",
            )


def _fits(sizes: Sequence[int], shape: Shape) -> bool:
    return len(sizes) == len(shape) and all(
        size == dim
        for size, dim in zip(sizes, shape, strict=True)
        if isinstance(dim, int) and dim >= 0
    )


def _text(shape: Shape | None) -> str:
    return "unknown" if shape is None else "x".join(str(d or "?") for d in shape)


def contradictions(graph: Graph, profiles: Mapping[str, Profile]) -> dict[str, Diagnostic]:
    """An OQ665 by dimension name, for each name that dimensions of different sizes share.

    Exporters write '?' or 'unknown' for every dynamic size. In TensorRT and ONNX, dimensions of
    one name are equal.
    """
    sizes: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, profile in profiles.items():
        for index, dim in enumerate(graph.type(name).shape or ()):
            if isinstance(dim, str):
                place = f"dimension {index} of '{name}'"
                sizes.setdefault(dim, {})[place] = tuple(shape[index] for shape in profile)
    return {
        symbol: Diagnostic(
            code="OQ665",
            message=f"{' and '.join(places)} share the name '{symbol}' and differ in size, which "
            "TensorRT rejects; the engine was built from a copy without that name",
            fix="export the model with a name of its own for each dimension, or with fixed sizes",
        )
        for symbol, places in sizes.items()
        if len(set(places.values())) > 1
    }
