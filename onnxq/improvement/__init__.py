"""Model x plan x statistics x data -> Improvement: other numbers in the same model and pairs."""
