"""Probing: measure at which layers a small model can tell relevant passages from hard negatives.

The task, the probes, their controls, and the grid over layers.
"""
