"""Models: read, prepared, looked at, edited and written; what ONNX operators are."""
