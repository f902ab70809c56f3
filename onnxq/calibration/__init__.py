"""Model and data -> statistics of every activation, and statistics -> amax."""
