"""Random samples, to try the tools without data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnxq.diagnostics import error
from onnxq.feeds.ahead import decoders
from onnxq.feeds.samples import InputSpec, Sample, sample_digest, shape_example
from onnxq.feeds.source import Reader, ReadWhole

SAMPLES: Final = 16  # by default


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomData(ReadWhole):
    """Floats from 0 to 1; integers and booleans 0 or 1, which are indices into any table."""

    inputs: tuple[InputSpec, ...]
    seed: int
    length: int

    @property
    def threads(self) -> int:
        """Every sample has a generator of its own."""
        return decoders()

    def reader(self) -> Reader:
        """Samples are made in any order."""
        return self._read

    def _read(self, number: int) -> Sample:
        rng = np.random.Generator(np.random.PCG64([self.seed, number]))
        tensors = {spec.name: _values(rng, spec) for spec in self.inputs}
        return Sample(name=f"random[{number}]", tensors=tensors, digest=sample_digest(tensors))


def _values(rng: np.random.Generator, spec: InputSpec) -> NDArray[Any]:
    shape = tuple(size for size in spec.shape if isinstance(size, int))
    if spec.dtype.kind in "iub":
        return rng.integers(0, 2, shape).astype(spec.dtype)
    return rng.random(shape, np.float32).astype(spec.dtype)


def open_random(inputs: tuple[InputSpec, ...], seed: int | None, samples: int | None) -> RandomData:
    """Random samples of these inputs, a dynamic batch of 1 (OQ405 when another size is dynamic)."""
    sized = []
    for spec in inputs:
        shape = tuple(1 if d is None and not i else d for i, d in enumerate(spec.shape))
        if None in shape or spec.any_rank:
            raise error(
                "OQ405",
                f"the size of input '{spec.name}' is not fixed ({spec.size})",
                fix=f"give one, such as {shape_example(spec.name, spec.shape or (None,) * 2)}",
            )
        sized.append(InputSpec(name=spec.name, dtype=spec.dtype, shape=shape))
    return RandomData(inputs=tuple(sized), seed=seed or 0, length=samples or SAMPLES)
