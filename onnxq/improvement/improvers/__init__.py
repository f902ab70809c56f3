"""The improvers, one file each; `registry.py` has their order."""
