"""Studies: plan, measure, store and report comparisons of a backbone with its retriever.

`compare` runs all analyses on both models and returns a `Study`, which can be saved, loaded and reported. Other modules
hold the protocols, the checks of `retroscope doctor`, the functions that verify and shrink the cache, the training
commands and the training ablations. This package may import every other package except the command line.
"""
