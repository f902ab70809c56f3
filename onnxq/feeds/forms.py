"""The forms of data, and how to tell which is meant: each is one file and one entry in FORMS."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from PIL import Image

from onnxq.diagnostics import Diagnostic, error, warning
from onnxq.feeds import arrays, loaders, pictures, preprocess, random_data, saved_inputs
from onnxq.feeds.preprocess import Preprocess
from onnxq.feeds.samples import InputSpec, shape_example, shape_text
from onnxq.feeds.selection import Batching, batching
from onnxq.feeds.source import Source

Kind = Literal["random", "python", "saved inputs", "arrays", "pictures"]
RANDOM: Final = "random"  # what --data says for random data
_PYTHON: Final = re.compile(r"(?P<file>.+\.py)(?::(?P<function>\w+))?")
_CALIBRATION: Final = ".calib.npz"  # what onnxq writes itself is no data


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What `--data` names: files of one kind, and the function in a Python file."""

    kind: Kind
    path: Path = Path()
    files: tuple[Path, ...] = ()
    function: str = ""


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

    source: Source
    batch: Batching
    preprocess: Preprocess | None = None
    notes: tuple[Diagnostic, ...] = ()
    unreal: str = ""


def path_of(source: str) -> Path:
    """The file or folder that a source names."""
    python = _PYTHON.fullmatch(source)
    return Path(python["file"] if python else source)


def absolute(source: str) -> str:
    """The same source, for a process that works in another folder."""
    if source == RANDOM:
        return source
    python = _PYTHON.fullmatch(source)
    function = python["function"] if python else None
    return f"{path_of(source).absolute()}{f':{function}' if function else ''}"


def locate(source: str) -> Place:
    """Find out what a source is. Errors: OQ401, and OQ428 when `random` is a folder too."""
    if not source:  # as an unset variable of a shell; a path would take it for the working folder
        raise error("OQ401", "--data is empty", fix="name the data; . is the working folder")
    path = path_of(source)
    if source == RANDOM:
        if path.exists():
            raise error(
                "OQ428",
                "'random' means random data, and there is a folder or file of that name",
                fix=f"write ./{RANDOM} for what is in it, or rename it",
            )
        return Place(kind="random")
    if python := _PYTHON.fullmatch(source):
        if not path.is_file():
            raise error("OQ401", f"the data '{path}' does not exist", fix="correct the path")
        function = python["function"] or loaders.FUNCTION
        return Place(kind="python", path=path, files=(path,), function=function)
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise error("OQ401", f"the data '{path}' does not exist", fix="give a file or a folder")
    return Place(kind=_kind(path), path=path, files=(path,))


def _kind(file: Path) -> Kind:
    suffix = file.suffix.lower()
    if suffix in arrays.SUFFIXES:
        return "arrays"
    if suffix == ".json":
        return "saved inputs"
    if suffix not in pictures.suffixes():
        try:
            Image.open(file).close()
        except Exception:
            raise error(
                "OQ401",
                f"'{file}' is nothing that onnxq reads as data",
                fix="give pictures, .npy or .npz files, or a Python file that yields samples",
            ) from None
    return "pictures"


def _folder(folder: Path) -> Place:
    """Pictures or arrays in a folder and those below it, hidden ones apart."""
    readable = arrays.SUFFIXES | pictures.suffixes()
    found = sorted(
        p
        for p in _below(folder)
        if p.suffix.lower() in readable and not p.name.endswith(_CALIBRATION) and p.is_file()
    )
    if not found:
        raise error(
            "OQ401",
            f"the folder '{folder}' has no pictures and no .npy or .npz files",
            fix="give a folder with samples of what the model will see",
        )
    in_arrays = [p for p in found if p.suffix.lower() in arrays.SUFFIXES]
    if 0 < len(in_arrays) < len(found):
        other = next(p for p in found if p not in in_arrays)
        raise error(
            "OQ401",
            f"'{folder}' holds both arrays ('{in_arrays[0].name}') and pictures ('{other.name}')",
            fix="keep one kind in a folder",
        )
    return Place(kind="arrays" if in_arrays else "pictures", path=folder, files=tuple(found))


def _below(folder: Path) -> Iterator[Path]:
    """Paths of the files in a folder and those below it, links to folders too, none hidden."""
    known: set[str] = set()
    for above, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(above)
        if real in known:  # a second link to it, or one that leads back
            folders.clear()
            continue
        known.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(above, name) for name in files if not name.startswith("."))


def _arrays(place: Place, wish: Wish) -> Opened:
    inputs, batch = batching(wish.inputs, wish.batch)
    return Opened(source=arrays.open_arrays(place.files, inputs), batch=batch)


def _saved_inputs(place: Place, wish: Wish) -> Opened:
    inputs, batch = batching(wish.inputs, wish.batch)
    return Opened(source=saved_inputs.open_saved(place.path, inputs), batch=batch)


def _python(place: Place, wish: Wish) -> Opened:
    if wish.seed is not None:
        raise error(
            "OQ420",
            "--seed draws from data of known length, and a Python file yields as it likes",
            fix="leave it out, and shuffle in the file with a seed of its own",
        )
    inputs, batch = batching(wish.inputs, wish.batch)
    source = loaders.Loader(
        file=place.path, function=place.function, inputs=inputs, ragged=wish.ragged
    )
    return Opened(source=source, batch=batch)


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
            f"pictures need a model with one image input, not {'; '.join(map(str, wish.inputs))}",
            fix="give .npz files with one array an input",
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


FORMS: Final[Mapping[Kind, Callable[[Place, Wish], Opened]]] = {
    "random": _random,
    "python": _python,
    "saved inputs": _saved_inputs,
    "arrays": _arrays,
    "pictures": _pictures,
}
