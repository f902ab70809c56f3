"""What an output holds, by its form, and which SQNR such outputs of int8 models have.

There is no figure that is good for all: MobileNetV2 keeps its top-1 at 13 dB, and a detector whose
boxes have 22 dB may lose half of its detections. The ranges are those of models that were
quantized well, all activations and weights in int8: MobileNetV2 and EfficientNet-Lite0 13 to 19 dB
at less than 1 % of top-1; boxes of YOLOv8n, YOLOX 22 to 29 dB and their scores 7 to 16; MiniLM-L6
14 to 18 dB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

OutputKind = Literal["logits", "scores", "boxes", "hidden state", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Typical:
    """The SQNR (dB) that outputs of a kind usually have, and what decides on the model instead."""

    low: float
    high: float
    decides: str


TYPICAL: Final[Mapping[OutputKind, Typical]] = {
    "logits": Typical(low=12, high=20, decides="top-1 decides: give --labels"),
    "scores": Typical(
        low=6, high=16, decides="of a detector its detections decide: give --detections"
    ),
    "boxes": Typical(
        low=20, high=30, decides="of a detector its detections decide: give --detections"
    ),
    "hidden state": Typical(low=12, high=20, decides="the task that reads it decides"),
    "other": Typical(low=15, high=30, decides="where it holds several kinds of values, use --part"),
}


def kind_of(
    shape: tuple[int, ...], low: float, high: float, *, is_part: bool = False
) -> OutputKind:
    """The kind of an output, or a part of one, of this shape with values from `low` to `high`.

    A part of four channels from 0 to 1 is scores of four classes: normalized boxes beside scores
    would not be a part of their own.
    """
    is_share = low >= 0 and high <= 1
    if (len(shape) == 3 and 4 in shape[1:]) or (is_part and 4 in shape[1:2]):
        return "scores" if is_part and is_share else "boxes"
    if len(shape) == 2 and not is_part:
        return "logits"
    if is_share:
        return "scores"
    return "hidden state" if len(shape) == 3 else "other"
