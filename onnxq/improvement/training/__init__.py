"""Training of scales, weights and biases, for the improver `learn`."""
