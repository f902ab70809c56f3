"""Training of a Q/DQ model against the float model, end to end (extra `torch`)."""
