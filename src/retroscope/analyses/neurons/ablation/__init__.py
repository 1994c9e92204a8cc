"""Ablation of neurons: does retrieval need the neurons with the largest attribution?

Retrieval with them fixed at one value, against two controls.
"""
