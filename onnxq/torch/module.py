"""A Q/DQ model as a torch module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor, nn

from onnxq.descriptor import Method
from onnxq.diagnostics import error
from onnxq.model.graph import Graph
from onnxq.torch.naming import place, place_module
from onnxq.torch.pairs import quantized_tensors
from onnxq.torch.parameters import amaxes, learns, parameters
from onnxq.torch.quantizer import Quantizer
from onnxq.torch_graph.parts import LackingError, Part, TorchGraph


class QuantizedModule(nn.Module):
    """A model whose parameters are the initializers by name, and whose pairs are quantizers.

    Float constants of more than one value are parameters. Those that products, biases and
    normalizations read have `requires_grad`, and so has the `amax` of every quantizer; for the
    others it can be switched on. A weight that is stored in integers is a parameter of float
    values, which its quantizer rounds. The model computes the same in `train` and in `eval` mode.
    Other batches than that of the file pass where no constant of the model fixes it.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        pairs = quantized_tensors(graph)
        values = parameters(graph, pairs.tensors)
        self.inputs, self.outputs = graph.inputs, graph.outputs
        own = {pair.node for pair in pairs.tensors} | pairs.passing
        torch_graph = TorchGraph(graph, own=own, changing=values)
        self._part = _part(torch_graph)
        self._fixed = _Fixed({name: torch_graph.constant(name) for name in self._part.constants})
        amax = amaxes(graph, pairs.tensors)
        self.quantizers = Quantizers([Quantizer(p, *amax[p.scales[0]]) for p in pairs.tensors])
        self.passing = tuple(pairs.passing)
        own_names = {*self.__dict__, *self._modules, "_places"}
        self._places = {
            name: place(
                self,
                f"initializers.{name}" if name.partition(".")[0] in own_names else name,
                nn.Parameter(value, requires_grad=learns(graph, name)),
            )
            for name, value in values.items()
        }

    @property
    def initializers(self) -> Mapping[str, nn.Parameter]:
        """The parameters that are initializers, by name."""
        return MappingProxyType({name: where.parameter for name, where in self._places.items()})

    def forward(self, *inputs: Any, **named: Any) -> Tensor | dict[str, Tensor]:
        """Return the output, or the outputs by name where there are several.

        Inputs are tensors in the order of `inputs`, by name, or one mapping of names to tensors.
        Raises OQ706 where they are not those of the model.
        """
        values = self.all_outputs(self._feeds(inputs, named))
        return values[self.outputs[0]] if len(self.outputs) == 1 else values

    def all_outputs(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs by name, of inputs by name."""
        own: dict[str, Callable[[Tensor], Tensor]] = dict.fromkeys(self.passing, _unchanged)
        return self._part(
            feeds,
            constants={**self._fixed.tensors, **self.initializers},
            own={**own, **{q.of.node: q for q in self.quantizers.values()}},
        )

    def _feeds(self, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Tensor]:
        if len(inputs) == 1 and isinstance(inputs[0], Mapping):
            named, inputs = {**inputs[0], **named}, ()
        feeds = {**dict(zip(self.inputs, inputs, strict=False)), **named}
        if feeds.keys() != set(self.inputs) or len(inputs) + len(named) != len(feeds):
            raise error(
                "OQ706",
                f"the model has the inputs {', '.join(self.inputs)}; "
                f"{len(inputs)} came by place and {', '.join(named) or 'none'} by name",
                fix="give each input once",
            )
        return {name: torch.as_tensor(value) for name, value in feeds.items()}

    def fake_quant(self, on: bool = True) -> None:
        """Switch the rounding of all quantizers on or off.

        Off, it is the float model; weights that the file stores in integers stay rounded.
        """
        for quantizer in self.quantizers.values():
            quantizer.fake_quant(on)

    def enable_calib(self) -> None:
        """Let the quantizers of activations count the values that pass."""
        for quantizer in self._activations():
            quantizer.enable_calib()

    def disable_calib(self) -> None:
        """Let no quantizer count values."""
        for quantizer in self.quantizers.values():
            quantizer.disable_calib()

    def load_calib_amax(self, method: Method = "max", *, percentile: float = 99.99) -> None:
        """Set the amax of the quantizers of activations by what they counted (OQ704)."""
        sharing: dict[nn.Parameter, list[Quantizer]] = {}
        for quantizer in self._activations():
            sharing.setdefault(quantizer.amax, []).append(quantizer)
        for first, *others in sharing.values():
            for other in others:
                first.add_counted(other)
            first.load_calib_amax(method, percentile=percentile)

    def _activations(self) -> Iterator[Quantizer]:
        return (q for q in self.quantizers.values() if not q.of.is_weight)


class Quantizers(nn.Module):
    """The quantizers by the name of the tensor; a second one on it has the name of its node."""

    def __init__(self, quantizers: Iterable[Quantizer]) -> None:
        super().__init__()
        self._by_name = {quantizer.of.name: quantizer for quantizer in quantizers}
        for name, quantizer in self._by_name.items():
            place_module(self, name, quantizer)

    def __getitem__(self, name: str) -> Quantizer:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def values(self) -> Iterable[Quantizer]:
        """The quantizers, in the order of the nodes."""
        return self._by_name.values()


class _Fixed(nn.Module):
    """Float constants that no training changes: they go to the device that the module goes to."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                self._buffers[name] = tensor
                self._non_persistent_buffers_set.add(name)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The constants by name."""
        return {name: tensor for name, tensor in self._buffers.items() if tensor is not None}


def _part(torch_graph: TorchGraph) -> Part:
    """The whole model (OQ702)."""
    graph = torch_graph.graph
    tensors = (t for node in graph.nodes for t in node.inputs if graph.is_constant(t))
    if name := next((t for t in tensors if graph.type(t).dtype == TensorProto.BFLOAT16), ""):
        raise error(
            "OQ702",
            f"torch cannot compute with '{name}', whose numbers are bfloat16",
            fix="train the model in float32, and insert with --float bf16 afterwards",
        )
    try:
        return torch_graph.part(graph.inputs, graph.outputs)
    except LackingError as lack:
        name, why = next(iter(lack.nodes.items()))
        others = f", and {len(lack.nodes) - 1} other nodes" if len(lack.nodes) > 1 else ""
        raise error(
            "OQ702",
            f"torch cannot compute {why} '{name}'{others}",
            fix="onnxq.torch.supported() lists the operators that it can; train the part of the "
            "model in front of it",
        ) from None


def _unchanged(x: Tensor) -> Tensor:
    return x
