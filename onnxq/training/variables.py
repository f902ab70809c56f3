"""What an optimizer changes: how far each parameter of a module moved, relative to its size.

Adam moves a number by about its rate a step, whatever its size. So an amax is trained as the
logarithm of a factor, as in TQT (Jain et al., 2020, arXiv:1903.08066), and all else in units of the
mean magnitude of its tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal

import torch
from torch import Tensor, nn

from onnxq.torch.module import QuantizedModule
from onnxq.torch.naming import Place

Kind = Literal["amax", "amaxes", "other"]
Learn = Literal["all", "amax"]
# How far one step moves: the one amax of a tensor by 0.3 %; those of channels and blocks, of which
# each has few values to learn from, by 0.02 %; others by 0.03 % of their mean magnitude.
RATES: Final[Mapping[Kind, float]] = {"amax": 3e-3, "amaxes": 2e-4, "other": 3e-4}
_LEAST: Final = 1e-8  # mean magnitude of a bias of zeros


def learning(module: QuantizedModule, learn: Learn) -> Iterator[tuple[str, nn.Parameter, bool]]:
    """The parameters that learn by name, and whether each is an amax."""
    for name, parameter in module.named_parameters():
        is_amax = name.endswith(".amax") and name not in module.initializers
        if parameter.requires_grad and (is_amax or learn == "all"):
            yield name, parameter, is_amax


class Variables:
    """The parameters of a module that learn, as variables that begin at zero.

    With `learn="amax"` those are the amax of all quantizers alone.
    """

    def __init__(self, module: QuantizedModule, learn: Learn) -> None:
        self._places = _places(module)
        self._first: dict[str, Tensor] = {}
        self._dtypes: dict[str, torch.dtype] = {}
        self._unit: dict[str, Tensor] = {}
        self.kinds: dict[str, Kind] = {}
        self.by: dict[str, Tensor] = {}
        for name, parameter, is_amax in learning(module, learn):
            self._dtypes[name] = parameter.dtype
            first = self._first[name] = parameter.detach().float().clone()
            self.by[name] = torch.zeros_like(first).requires_grad_()
            several: Kind = "amaxes" if first.numel() > 1 else "amax"
            self.kinds[name] = several if is_amax else "other"
            self._unit[name] = first.abs().mean().clamp(min=_LEAST)

    def values(self) -> dict[str, Tensor]:
        """The present values of the parameters, by name."""
        values = {
            name: first * self.by[name].exp()
            if self.kinds[name] != "other"
            else first + self._unit[name] * self.by[name]
            for name, first in self._first.items()
        }
        return {name: value.to(self._dtypes[name]) for name, value in values.items()}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the module compute with the present values, so that gradients reach the variables."""
        values = self.values()
        before = [(place, place.parameter) for name in values for place in self._places[name]]
        try:
            for name, value in values.items():
                for place in self._places[name]:
                    place.holder._parameters[place.leaf] = value  # type: ignore[assignment]
            yield
        finally:
            for place, parameter in before:
                place.holder._parameters[place.leaf] = parameter

    def write(self) -> None:
        """Give the parameters of the module the present values."""
        values = self.values()
        with torch.no_grad():
            for name, value in values.items():
                self._places[name][0].parameter.copy_(value)

    def groups(self, rate: float) -> list[dict[str, object]]:
        """The variables for an optimizer, those of a kind with one rate."""
        return [
            {"params": of_kind, "lr": rate * usual, "initial_lr": rate * usual}
            for kind, usual in RATES.items()
            if (of_kind := [self.by[n] for n, k in self.kinds.items() if k == kind])
        ]

    def copies(self) -> dict[str, Tensor]:
        """The variables as they are now."""
        return {name: by.detach().clone() for name, by in self.by.items()}

    def restore(self, copies: Mapping[str, Tensor]) -> None:
        """Take the values that `copies` gave."""
        with torch.no_grad():
            for name, by in self.by.items():
                by.copy_(copies[name])


def _places(module: nn.Module) -> dict[str, list[Place]]:
    """Where each parameter stands, by its first name: pairs of one scale share their amax."""
    names = {parameter: name for name, parameter in module.named_parameters()}
    places: dict[str, list[Place]] = {name: [] for name in names.values()}
    for holder in module.modules():
        for leaf, parameter in holder._parameters.items():
            if parameter is not None:
                places[names[parameter]].append(Place(holder, leaf))
    return places
