"""Channels of activations: what holds and reads them, and factors for them."""
