"""Fitting of learned probes: features, the similarity that is added to the score (anchor), and a solver."""
