"""Losses of a training: by parts of the outputs, or a function of the user."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from onnxq.diagnostics import error
from onnxq.improvement.loss import Shares
from onnxq.user_code import function_in, guarded

Tensors = Mapping[str, Tensor]
# Arguments: the outputs of the module, those of the float model, and the inputs, all of a batch and
# by name. A scalar tensor; lower is better.
TrainingLoss = Callable[[Tensors, Tensors, Tensors], Tensor]
TrainingLossLike = str | Path | TrainingLoss
_FUNCTION: Final = "compute"


class PartsLoss:
    """Noise power / signal power, the mean over all parts of all float outputs."""

    def __init__(self, shares: Mapping[str, Shares]) -> None:
        self._shares = shares
        self._parts = sum(len(s.parts) + (s.rest > 0) for s in shares.values())
        self._weights: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def __call__(self, outputs: Tensors, wanted: Tensors, inputs: Tensors) -> Tensor:
        """The loss of a batch."""
        losses = [
            (self._weights_of(n, outputs[n]) * _noise(outputs[n], wanted[n]).square()).sum()
            for n in self._shares
        ]
        return torch.stack(losses).sum() / self._parts

    def _weights_of(self, name: str, output: Tensor) -> Tensor:
        """What each value counts: together 1 / power for a part of all samples of a batch."""
        key = name, tuple(output.shape)
        if key not in self._weights:
            weights = self._shares[name].weights(key[1])
            self._weights[key] = torch.from_numpy(weights).to(output.device, output.dtype)
        return self._weights[key]


def _noise(output: Tensor, wanted: Tensor) -> Tensor:
    """The difference; 0 where the float model gives no finite value."""
    return torch.where(wanted.isfinite(), output - wanted, 0)


def training_loss(loss: TrainingLossLike) -> TrainingLoss:
    """A loss of the user: a function, or that of a Python file, `loss.py` or `loss.py:compute`.

    Raises OQ711, and so does the loss for a result that is no number which torch can differentiate;
    of a file also for what it raises.
    """
    if callable(loss):
        call = guarded(loss, None, "the loss", "OQ711")
    else:
        file, name = _file_and_function(str(loss))
        function = function_in(file, name, "outputs, teacher, inputs", "the loss", "OQ711")
        call = guarded(function, file, "the loss", "OQ711")

    def checked(outputs: Tensors, wanted: Tensors, inputs: Tensors) -> Tensor:
        own = {name: tensor.clone() for name, tensor in inputs.items()}  # it may change them
        with torch.set_grad_enabled(torch.is_grad_enabled()):  # and the mode, which comes back
            result = call(outputs, wanted, own)
        return _scalar(result)

    return checked


def loss_file(loss: TrainingLossLike | None) -> Path | None:
    """The Python file of a loss, if it is one."""
    return None if loss is None or callable(loss) else _file_and_function(str(loss))[0]


def loss_identity(loss: TrainingLossLike | None) -> str:
    """What tells a loss from others: the name of a function, with the content of its file."""
    if loss is None or callable(loss):
        return "" if loss is None else getattr(loss, "__qualname__", type(loss).__name__)
    file, name = _file_and_function(str(loss))
    return f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()}"


def _file_and_function(text: str) -> tuple[Path, str]:
    """`FILE.py:FUNCTION` as both; the function is `compute` where none is named."""
    path, colon, name = text.rpartition(":")
    if colon and path.endswith(".py") and name.isidentifier():
        return Path(path), name
    return Path(text), _FUNCTION


def _scalar(result: object) -> Tensor:
    if isinstance(result, Tensor) and result.numel() == 1 and result.is_floating_point():
        if result.requires_grad or not torch.is_grad_enabled():
            return result.reshape(())
        raise error(
            "OQ711",
            "the loss does not depend on the outputs: torch cannot differentiate it",
            fix="compute it from `outputs`, without detach(), item() or numpy()",
        )
    shape = ""
    if isinstance(result, Tensor):
        shape = f"a {result.dtype} tensor of shape {list(result.shape)}"
    raise error(
        "OQ711",
        f"the loss gives {shape or f'a {type(result).__name__}'}, not one number as a tensor",
        fix="return a tensor with one value that is computed from the outputs",
    )
