"""What a detector finds: whether a Q/DQ model keeps the float model's detections."""

from onnxq.verification.detections.agreement import DetectionReport, DetectionTotals
from onnxq.verification.detections.decoding import (
    DETECTION_SCORE,
    DecoderLike,
    Detections,
    load_decoder,
)

__all__ = [
    "DETECTION_SCORE",
    "DecoderLike",
    "DetectionReport",
    "DetectionTotals",
    "Detections",
    "load_decoder",
]
