"""Model x plan x statistics x data -> Sensitivity: what each pair costs at the outputs."""
