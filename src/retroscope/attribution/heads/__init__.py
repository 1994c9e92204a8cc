"""Attention heads: estimate and measure how much a retrieval margin depends on each head.

Ablation, its first-order estimate, attention, and patching.
"""
