"""The statistics of representation drift, for pairs of models and for the embedding space of one model.

A new statistic is added to one of the two tables; figures and tables of `analyses.representations` name what they show.
"""

from collections.abc import Callable, Mapping
from functools import partial

from retroscope.drift.dimensions import effective_rank
from retroscope.drift.geometry import anisotropy, uniformity
from retroscope.drift.similarity import cka, neighbour_overlap, procrustes, procrustes_chance, rsa
from retroscope.representations.store import Vectors

OfOne = Callable[[Vectors], float]
OfTwo = Callable[[Vectors, Vectors], float]
SHAPES: Mapping[str, OfOne] = {"anisotropy": anisotropy, "uniformity": uniformity, "effective_rank": effective_rank}


def similarity_measures(x: Vectors, y: Vectors, *, neighbours: int, seed: int) -> dict[str, tuple[OfTwo, float]]:
    """Map the name of every similarity to its function and to its chance value for these vectors."""
    return {
        "cka": (cka, 0.0),
        "procrustes": (procrustes, procrustes_chance(x, y, seed)),
        "rsa": (rsa, 0.0),
        "neighbours": (partial(neighbour_overlap, k=neighbours), neighbours / (len(x) - 1)),
    }
