"""An ONNX graph that torch differentiates; one row an operator."""
