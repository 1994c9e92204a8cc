"""The statistics of representation drift, for pairs of models and for the embedding space of one model.

An interval needs a statistic for many subsets of the texts. For statistics of all pairs of texts, a `Prepare` function
therefore computes the pairs once, and returns a function that computes the statistic for a subset.

To add a statistic, add it to `SHAPES` (one model) or `similarity_measures` (two models), and name it in the figures of
`analyses.representations` that show it.
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
    """Return name -> (function, chance value) of each similarity of two models, e.g. "cka".

    The function is a `Prepare`: for two models' vectors, it returns a function from row indices to the similarity.

    Args:
        neighbours: how many nearest neighbours of a text are compared.
        seed: seed of the random pairings from which chance is measured.
    """
    return {
        "cka": (lambda one, two: lambda rows: cka(one[rows], two[rows]), 0.0),
        "procrustes": (lambda one, two: lambda rows: procrustes(one[rows], two[rows]), procrustes_chance(x, y, seed)),
        "rsa": (rsa_of_rows, 0.0),
        "neighbours": (
            lambda one, two: neighbour_overlap_of_rows(one, two, neighbours),
            neighbours / (len(x) - 1),
        ),
    }
