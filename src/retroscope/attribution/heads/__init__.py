"""Attention heads: estimate and measure how much a retrieval margin depends on each head.

The modules choose and ablate heads, estimate ablations to first order, and measure what heads attend to.
"""
