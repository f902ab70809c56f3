"""Other weights, biases and scales for the pairs of a plan, which cost no time when it runs."""
