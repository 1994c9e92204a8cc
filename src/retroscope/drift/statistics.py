"""The statistics of representation drift, for pairs of models and for the embedding space of one model.

An interval computes a statistic for many subsets of the texts. Statistics of all pairs of texts are therefore prepared
once.

A new statistic is added to one of the two tables. Figures and tables of `analyses.representations` name what they show.
"""

from collections.abc import Callable, Mapping

from retroscope.drift.dimensions import effective_rank
from retroscope.drift.geometry import anisotropy, uniformity
from retroscope.drift.pairs import OfRows, neighbour_overlap_of_rows, rsa_of_rows
from retroscope.drift.similarity import cka, procrustes, procrustes_chance
from retroscope.representations.vectors import Vectors

OfOne = Callable[[Vectors], float]
Prepare = Callable[[Vectors, Vectors], OfRows]  # the vectors of both models -> the statistic of some of their rows
SHAPES: Mapping[str, OfOne] = {"anisotropy": anisotropy, "uniformity": uniformity, "effective_rank": effective_rank}


def similarity_measures(x: Vectors, y: Vectors, *, neighbours: int, seed: int) -> dict[str, tuple[Prepare, float]]:
    """Map the name of every similarity to the function that prepares it, and to its chance value for these vectors."""
    return {
        "cka": (lambda one, two: lambda rows: cka(one[rows], two[rows]), 0.0),
        "procrustes": (lambda one, two: lambda rows: procrustes(one[rows], two[rows]), procrustes_chance(x, y, seed)),
        "rsa": (rsa_of_rows, 0.0),
        "neighbours": (
            lambda one, two: neighbour_overlap_of_rows(one, two, neighbours),
            neighbours / (len(x) - 1),
        ),
    }
