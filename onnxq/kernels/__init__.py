"""The kernels of a compiled engine, and what each of them does."""
