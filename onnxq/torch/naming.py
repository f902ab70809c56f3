"""Where a tensor with the name of an initializer stands in a module.

Names with dots, such as `features.0.weight`, become modules in modules, so that `state_dict` and
`named_parameters` have exactly these names.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True)
class Place:
    """The module that has a parameter, and what it calls it."""

    holder: nn.Module
    leaf: str

    @property
    def parameter(self) -> nn.Parameter:
        """The parameter that stands there now."""
        parameter = self.holder._parameters[self.leaf]
        assert parameter is not None
        return parameter


def place(root: nn.Module, name: str, parameter: nn.Parameter) -> Place:
    """Register a parameter by the name of an initializer."""
    holder, leaf = _holder(root, name)
    holder._parameters[leaf] = parameter  # register_parameter refuses names such as `type`
    return Place(holder, leaf)


def place_module(root: nn.Module, name: str, module: nn.Module) -> None:
    """Register a module by a name that may have dots."""
    holder, leaf = _holder(root, name)
    if (before := holder._modules.get(leaf)) is not None:  # as `conv` after `conv.weight`
        module._modules.update(before._modules)
    holder._modules[leaf] = module


def _holder(root: nn.Module, name: str) -> tuple[nn.Module, str]:
    *path, leaf = name.split(".")
    holder = root
    for step in path:
        inner = holder._modules.get(step)
        if inner is None:
            inner = holder._modules[step] = nn.Module()
        holder = inner
    return holder, leaf
