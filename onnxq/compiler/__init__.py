"""What runs beside TensorRT, in processes of its own: it imports no more than that takes."""
