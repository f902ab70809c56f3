"""Activation scales chosen by the noise that they let through to the outputs (extra `torch`).

A calibration method sees how often values occur, and not what they do: the scale of a rare large
value that decides a detection is as good to it as that of any other. Here every scale is tried with
factors, and that one is taken whose rounding and clipping bring the least noise to the outputs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from onnxq.improvement.edits import Edits
from onnxq.improvement.improver import Work

_POWERS: Final = 8  # samples that give the power of the parts of outputs


class Scales:
    """Multiplies scales of activations by a factor, one for each share group."""

    def improve(self, work: Work) -> Edits:
        """Return the changed scales; none where torch cannot differentiate the whole model."""
        from onnxq.improvement.training.scale_search import ScaleSearch  # torch takes seconds
        from onnxq.torch_graph.memory import TooLargeError
        from onnxq.torch_graph.parts import LackingError

        few = replace(work.judge, samples=work.fitting[:_POWERS])
        try:
            return ScaleSearch(work).result(few.shares)
        except LackingError as lack:
            name, what = next(iter(lack.nodes.items()))
            return Edits(why=f"onnxq has no gradient of {what} ('{name}')")
        except TooLargeError:
            return Edits(why="gradients of a sample take more than 4 GiB")
