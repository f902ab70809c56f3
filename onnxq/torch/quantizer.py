"""A Q/DQ pair as a torch module with a learnable amax."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from onnxq.calibration.histogram import BitHistogram
from onnxq.calibration.methods import amax as amax_of
from onnxq.descriptor import Method, QuantDescriptor
from onnxq.diagnostics import error
from onnxq.torch.pairs import QuantizedTensor
from onnxq.torch_graph.fake_quantization import Grid, fake_quantize, largest_magnitudes


def _least(amax: Tensor) -> float:
    """The smallest amax, which leaves a scale above zero."""
    return torch.finfo(amax.dtype).tiny


class Quantizer(nn.Module):
    """Quantizes and dequantizes one tensor, as pytorch-quantization's TensorQuantizer does.

    `amax` is the magnitude that the largest quantized value stands for: one number, or one a
    channel or block, in the shape of the scale; the scale is `amax / largest`. Quantizers whose
    pairs have one scale share it.
    """

    def __init__(self, of: QuantizedTensor, amax: nn.Parameter, largest: float) -> None:
        super().__init__()
        self.of = of
        self.amax = amax
        self.largest = largest
        self._is_on = True
        self._counter: _Histogram | _Largest | None = None

    @property
    def scale(self) -> Tensor:
        """The scale that Q and DQ have, differentiable by `amax`."""
        return self.amax / self.largest

    def forward(self, x: Tensor) -> Tensor:
        """The values of x behind the pair, in its type."""
        if self._counter is not None:
            self._counter.observe(x.detach().float())
        if not self._is_on:
            return x
        with torch.autocast(x.device.type, enabled=False):
            return fake_quantize(x.float(), self.scale.float(), self.of.grid).to(x.dtype)

    def fake_quant(self, on: bool = True) -> None:
        """Switch the rounding on or off; off, a tensor passes as it is."""
        self._is_on = on

    def enable_calib(self) -> None:
        """Count the values that pass from now on, beside what the quantizer does with them."""
        self._counter = _Histogram() if self.amax.numel() == 1 else _Largest(self.of.grid)

    def disable_calib(self) -> None:
        """Count no more, and forget what was counted."""
        self._counter = None

    def add_counted(self, other: Quantizer) -> None:
        """Add what another quantizer with the same amax counted, which forgets it."""
        if isinstance(self._counter, _Histogram) and isinstance(other._counter, _Histogram):
            self._counter.histogram += other._counter.histogram
        other.disable_calib()

    def load_calib_amax(self, method: Method = "max", *, percentile: float = 99.99) -> None:
        """Set `amax` by what was counted since `enable_calib`, and count no more.

        The methods are those of `calibrate`; several scales, as weights have, take `max` alone
        (OQ705). Raises OQ704 where no value was counted.
        """
        amax = None
        if self._counter is not None:
            how = QuantDescriptor(method=method, percentile=percentile)
            amax = self._counter.amax(how, self.of.name)
        if amax is None:
            raise error(
                "OQ704",
                f"no value of '{self.of.name}' was counted",
                fix="call enable_calib(), run samples, and then load_calib_amax()",
            )
        with torch.no_grad():
            self.amax.copy_(amax.reshape(self.amax.shape).clamp(min=_least(self.amax)))
        self.disable_calib()

    def extra_repr(self) -> str:
        """What repr shows: the tensor, its range of steps, and whether it is on."""
        grid = self.of.grid
        along = "" if grid.axis is None else f" along axis {grid.axis}"
        is_on = "" if self._is_on else ", off"
        return f"'{self.of.name}', {grid.lowest:g} to {grid.largest:g}{along}{is_on}"


class _Histogram:
    """Counts the values of a tensor that has one scale."""

    def __init__(self) -> None:
        self.histogram = BitHistogram()

    def observe(self, x: Tensor) -> None:
        self.histogram += BitHistogram.of(x.cpu().numpy())

    def amax(self, how: QuantDescriptor, name: str) -> Tensor | None:
        if not self.histogram.range.finite:
            return None
        return torch.tensor(amax_of(self.histogram, how, tensor=name), dtype=torch.float32)


class _Largest:
    """The largest magnitude for each of several scales."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._largest: Tensor | None = None

    def observe(self, x: Tensor) -> None:
        now = largest_magnitudes(x, self._grid)
        self._largest = now if self._largest is None else torch.maximum(self._largest, now)

    def amax(self, how: QuantDescriptor, name: str) -> Tensor | None:
        if how.method != "max":
            raise error(
                "OQ705",
                f"'{name}' has several scales, which method '{how.method}' does not choose",
                fix="use method 'max'",
            )
        return self._largest
