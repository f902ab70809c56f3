"""The verbs: one function each, which a user or the command line calls."""
