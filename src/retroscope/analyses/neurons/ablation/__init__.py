"""Ablation of neurons: does retrieval need the neurons with the largest attribution?

Retrieval is measured with these neurons fixed at one value, and compared with two controls: random neurons, and the
largest neurons.
"""
