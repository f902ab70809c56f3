"""Recipe and model -> plan: which tensors get a pair, by which rule, and why."""
