"""Weights as rows of products: their inputs, biases and integers."""
