"""How good a model is, by a function of the user or by labels: one number, higher is better.

`metric.load_metric` and `labelled.top1` make them; both are a `scoring.Scorer`. This file imports
nothing, because the process that runs the function of the user imports it.
"""
