"""Sensitivity and a target -> recipe, judged by metrics of the user."""
