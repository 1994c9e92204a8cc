"""Studies: plan, measure, store and report comparisons of a backbone with its retriever.

`compare` runs all analyses on both models and returns a `Study`, which can be saved, loaded and reported. Other modules
have the protocols, the checks of `doctor`, the care of the cache, the training commands and the training ablations.
This package may import every other package except the command line.
"""
