"""Scales, weights and biases trained block by block against the float model (extra `torch`).

Each block, a few products, learns to give the outputs of the float block from the inputs that the
Q/DQ model gives it: block reconstruction as in BRECQ (Li et al., 2021, arXiv:2102.05426), with what
LSQ (arXiv:1902.08153) and TQT (arXiv:1903.08066) train: the logarithm of every scale, and weights
and biases by straight-through gradients. The error of a block counts by what it does at the outputs
of the model. No labels are needed.
"""

from __future__ import annotations

from onnxq.improvement.edits import Edits
from onnxq.improvement.improver import Work


class Learn:
    """Trains what the products among the targets read."""

    def improve(self, work: Work) -> Edits:
        """Return trained constants, biases and scales."""
        from onnxq.improvement.training.run import LearningRun  # torch takes seconds to import

        return LearningRun(work).result()
