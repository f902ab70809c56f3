"""Model and data -> statistics of the activations, and statistics -> amax."""
