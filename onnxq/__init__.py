"""onnxq: INT8 Q/DQ for ONNX models, placed by rules, for TensorRT."""
