"""layer-norm: channels of normalized tensors divided by factors that weights take back."""

from __future__ import annotations

from onnxq.improvement.channels.division import evened
from onnxq.improvement.edits import Edits
from onnxq.improvement.improver import Work


class LayerNorm:
    """Divides what a layer normalization gives to products, SmoothQuant's place for its factors.

    The factors stand in front of the pair, so that a sum behind the normalization reads what it
    read, as in BERT. It runs before `Equalize`: the noise of these tensors hides what factors
    elsewhere do to the rest.
    """

    def improve(self, work: Work) -> Edits:
        """Factors where they lower the noise in the products that read a normalized tensor."""
        return evened(work, work.subject, normalized=True)
