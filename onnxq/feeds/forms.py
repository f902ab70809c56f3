"""The forms of data, opened for a model: each is one file and one entry in FORMS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from onnxq.diagnostics import Diagnostic, counted, error, warning
from onnxq.feeds import arrays, in_memory, loaders, pictures, preprocess, random_data, saved_inputs
from onnxq.feeds.places import DataKind, Place
from onnxq.feeds.preprocess import Preprocess
from onnxq.feeds.samples import InputSpec, shape_example, shape_text
from onnxq.feeds.selection import Batching, batching
from onnxq.feeds.source import SampleSource


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """How to open data; `otherwise` is the preprocessing to use where `preprocess` is None."""

    inputs: tuple[InputSpec, ...]
    batch: int | None
    preprocess: Preprocess | None
    otherwise: Preprocess | None
    samples: int | None
    seed: int | None
    ragged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedData:
    """Data opened for a model."""

    source: SampleSource
    batch: Batching
    preprocess: Preprocess | None = None
    notes: tuple[Diagnostic, ...] = ()
    unreal: str = ""


def _arrays(place: Place, options: OpenOptions) -> OpenedData:
    inputs, batch = batching(options.inputs, options.batch)
    source = arrays.open_arrays(place.files, inputs)
    return OpenedData(source=source, batch=batch, notes=source.notes)


def _saved_inputs(place: Place, options: OpenOptions) -> OpenedData:
    inputs, batch = batching(options.inputs, options.batch)
    source = saved_inputs.open_saved(place.files, inputs)
    return OpenedData(source=source, batch=batch, notes=source.notes)


def _python(place: Place, options: OpenOptions) -> OpenedData:
    inputs, batch = batching(options.inputs, options.batch)
    source = loaders.open_loader(place.path, place.function, inputs, ragged=options.ragged)
    return OpenedData(source=_in_order(source, options), batch=batch)


def _in_memory(place: Place, options: OpenOptions) -> OpenedData:
    inputs, batch = batching(options.inputs, options.batch)
    source = in_memory.open_in_memory(place.data, inputs, ragged=options.ragged)
    return OpenedData(source=_in_order(source, options), batch=batch)


def _in_order(source: SampleSource, options: OpenOptions) -> SampleSource:
    """Refuse to draw samples from data whose length only its end tells (OQ420)."""
    if options.seed is not None and source.length is None:
        raise error(
            "OQ420",
            "a seed draws samples from data of known length, and this data shows its length only "
            "at its end",
            fix="leave out --seed, and shuffle with a seed where the samples are made",
        )
    return source


def _random(place: Place, options: OpenOptions) -> OpenedData:
    inputs, batch = batching(options.inputs, options.batch)
    source = random_data.open_random(inputs, options.seed, options.samples)
    note = warning(
        "OQ428",
        f"the data is {counted(source.length, 'random sample')}, seed {source.seed}: ranges and "
        "figures from it mean nothing",
        fix="give real data for a model that will be used",
    )
    unreal = f"random, seed {source.seed}"
    return OpenedData(source=source, batch=batch, notes=(note,), unreal=unreal)


def _pictures(place: Place, options: OpenOptions) -> OpenedData:
    if len(options.inputs) != 1 or not _is_image(options.inputs[0]):
        raise error(
            "OQ404",
            f"pictures need a model with one image input, not "
            f"{'; '.join(map(str, options.inputs)) or 'one without inputs'}",
            fix="give .npz files with one array per input"
            if options.inputs
            else "give another model",
        )
    fixed = options.inputs[0].shape[0]
    asked = options.batch or (fixed if isinstance(fixed, int) else 1)
    (single,), batch = batching(options.inputs, asked)
    if None in single.shape:
        raise error(
            "OQ405",
            f"the size of input '{single.name}' is not fixed ({shape_text(single.shape)})",
            fix=f"give one, such as {shape_example(single.name, options.inputs[0].shape)}",
        )
    how = options.preprocess or options.otherwise or preprocess.load(preprocess.DEFAULT)
    how.require_fit(tuple(int(d) for d in single.shape if d is not None), single.dtype)
    source = pictures.Pictures(files=place.files, spec=single, preprocess=how)
    return OpenedData(source=source, batch=batch, preprocess=how)


def _is_image(spec: InputSpec) -> bool:
    return (
        len(spec.shape) == 4
        and str(spec.dtype) in preprocess.DTYPES
        and (spec.shape[1] in (1, 3) or spec.shape[3] in (1, 3) or None in spec.shape)
    )


FORMS: Final[Mapping[DataKind, Callable[[Place, OpenOptions], OpenedData]]] = {
    "random": _random,
    "python": _python,
    "saved inputs": _saved_inputs,
    "arrays": _arrays,
    "pictures": _pictures,
    "in memory": _in_memory,
}
