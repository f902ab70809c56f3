"""What an engine costs at least: the bytes that its kernels move, what they multiply, and the time
that a GPU needs for both at its peaks."""
