"""The forms of data, opened for a model: each is one file and one entry in FORMS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from onnxq.diagnostics import Diagnostic, error, warning
from onnxq.feeds import arrays, in_memory, loaders, pictures, preprocess, random_data, saved_inputs
from onnxq.feeds.places import DataKind, Place
from onnxq.feeds.preprocess import Preprocess
from onnxq.feeds.samples import InputSpec, shape_example, shape_text
from onnxq.feeds.selection import Batching, batching
from onnxq.feeds.source import SampleSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What opening needs to know beside the place. `how` was asked for, `otherwise` goes unsaid."""

    inputs: tuple[InputSpec, ...]
    batch: int | None
    how: Preprocess | None
    otherwise: Preprocess | None
    samples: int | None
    seed: int | None
    ragged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Data opened for a model."""

    source: SampleSource
    batch: Batching
    preprocess: Preprocess | None = None
    notes: tuple[Diagnostic, ...] = ()
    unreal: str = ""


def _arrays(place: Place, wish: Wish) -> Opened:
    inputs, batch = batching(wish.inputs, wish.batch)
    source = arrays.open_arrays(place.files, inputs)
    return Opened(source=source, batch=batch, notes=source.notes)


def _saved_inputs(place: Place, wish: Wish) -> Opened:
    inputs, batch = batching(wish.inputs, wish.batch)
    source = saved_inputs.open_saved(place.files, inputs)
    return Opened(source=source, batch=batch, notes=source.notes)


def _python(place: Place, wish: Wish) -> Opened:
    inputs, batch = batching(wish.inputs, wish.batch)
    source = loaders.open_loader(place.path, place.function, inputs, ragged=wish.ragged)
    return Opened(source=_in_order(source, wish), batch=batch)


def _in_memory(place: Place, wish: Wish) -> Opened:
    inputs, batch = batching(wish.inputs, wish.batch)
    source = in_memory.open_in_memory(place.data, inputs, ragged=wish.ragged)
    return Opened(source=_in_order(source, wish), batch=batch)


def _in_order(source: SampleSource, wish: Wish) -> SampleSource:
    """Refuse to draw samples from data whose length only its end tells (OQ420)."""
    if wish.seed is not None and source.length is None:
        raise error(
            "OQ420",
            "a seed draws samples from data of known length, and this data shows its length only "
            "at its end",
            fix="leave out --seed, and shuffle with a seed where the samples are made",
        )
    return source


def _random(place: Place, wish: Wish) -> Opened:
    inputs, batch = batching(wish.inputs, wish.batch)
    source = random_data.open_random(inputs, wish.seed, wish.samples)
    told = f"{source.length} random samples, seed {source.seed}, as --data random asks: their"
    note = warning(
        "OQ428",
        f"{told} ranges and figures mean nothing",
        fix="give real data for a model that is used",
    )
    unreal = f"random, seed {source.seed}"
    return Opened(source=source, batch=batch, notes=(note,), unreal=unreal)


def _pictures(place: Place, wish: Wish) -> Opened:
    if len(wish.inputs) != 1 or not _is_image(wish.inputs[0]):
        raise error(
            "OQ404",
            f"pictures need a model with one image input, not "
            f"{'; '.join(map(str, wish.inputs)) or 'one without inputs'}",
            fix="give .npz files with one array an input" if wish.inputs else "give another model",
        )
    fixed = wish.inputs[0].shape[0]
    asked = wish.batch or (fixed if isinstance(fixed, int) else 1)
    (single,), batch = batching(wish.inputs, asked)
    if None in single.shape:
        raise error(
            "OQ405",
            f"the size of input '{single.name}' is not fixed ({shape_text(single.shape)})",
            fix=f"give one, such as {shape_example(single.name, wish.inputs[0].shape)}",
        )
    how = wish.how or wish.otherwise or preprocess.load(preprocess.DEFAULT)
    how.require_fit(tuple(int(d) for d in single.shape if d is not None), single.dtype)
    source = pictures.Pictures(files=place.files, spec=single, preprocess=how)
    return Opened(source=source, batch=batch, preprocess=how)


def _is_image(spec: InputSpec) -> bool:
    return (
        len(spec.shape) == 4
        and str(spec.dtype) in preprocess.DTYPES
        and (spec.shape[1] in (1, 3) or spec.shape[3] in (1, 3) or None in spec.shape)
    )


FORMS: Final[Mapping[DataKind, Callable[[Place, Wish], Opened]]] = {
    "random": _random,
    "python": _python,
    "saved inputs": _saved_inputs,
    "arrays": _arrays,
    "pictures": _pictures,
    "in memory": _in_memory,
}
