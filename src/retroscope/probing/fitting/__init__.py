"""Fitting of learned probes: their features, the anchor of the penalty, and logits fitted until convergence."""
