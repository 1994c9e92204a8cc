"""Similarity of two models by the cosines of all pairs of texts: RSA and common neighbours. Equal models have 1.

The cosines are computed (and for RSA sorted) once for all texts. Both statistics are then computed for many subsets of
the texts, as a jackknife interval needs them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from retroscope.representations.vectors import Vectors
from retroscope.statistics.resampling.jackknife import KeptRows

TIE = 1e-12  # of two cosines in float64: less is rounding

OfRows = Callable[[KeptRows], float]


def rsa(x: Vectors, y: Float[np.ndarray, "text other"]) -> float:
    """Return RSA (Kriegeskorte et al., 2008): Spearman's correlation of two models' cosines over all pairs of texts."""
    return rsa_of_rows(x, y)(np.arange(len(x)))


def rsa_of_rows(x: Vectors, y: Float[np.ndarray, "text other"]) -> OfRows:
    """Return a function that computes RSA for a subset of the texts, given their rows. Pairs are sorted only once."""
    sides = [_SortedPairs.of(cosines(v)) for v in (x, y)]

    def of(rows: KeptRows) -> float:
        is_kept = np.zeros(len(x), dtype=bool)
        is_kept[rows] = True
        ranks_x, ranks_y = (side.ranks(is_kept) for side in sides)
        ranks_x, ranks_y = ranks_x - ranks_x.mean(), ranks_y - ranks_y.mean()
        size = np.sqrt((ranks_x @ ranks_x) * (ranks_y @ ranks_y))
        return float(ranks_x @ ranks_y / size) if size > 0 else float("nan")

    return of


@dataclass(frozen=True, eq=False)
class _SortedPairs:
    """All pairs of texts, in the order of rising cosine.

    Attributes:
        first, second: rows of the two texts of each pair.
        level: rank of the pair's cosine among the distinct cosines. Pairs with equal cosines have equal levels.
        order: index of each pair in the upper triangle of the matrix of cosines, counted row by row.
    """

    first: Int[np.ndarray, "pair"]
    second: Int[np.ndarray, "pair"]
    level: Int[np.ndarray, "pair"]
    order: Int[np.ndarray, "pair"]

    @classmethod
    def of(cls, cosine: Float[np.ndarray, "text text"]) -> "_SortedPairs":
        first, second = (rows.astype(np.int32) for rows in np.triu_indices(len(cosine), 1))
        values = cosine[first, second]
        order = np.argsort(values).astype(np.int32)
        level = np.cumsum(np.diff(values[order], prepend=-np.inf) > 0, dtype=np.int32)
        return cls(first[order], second[order], level, order)

    def ranks(self, kept: Bool[np.ndarray, "text"]) -> Float[np.ndarray, "some"]:
        """Return the ranks of the pairs of some texts among these pairs. Ties have their mean rank.

        Args:
            kept: True for the texts whose pairs are ranked. The result has one rank per pair, in the order of the upper
                triangle, row by row.
        """
        both_kept = kept[self.first] & kept[self.second]
        ranks = np.zeros(len(both_kept))  # a rank is at least 1
        ranks[self.order[both_kept]] = _mean_ranks(self.level[both_kept])
        return ranks[ranks > 0]


def _mean_ranks(level: Int[np.ndarray, "some"]) -> Float[np.ndarray, "some"]:
    """Return the ranks of whole numbers that are in rising order. Equal numbers have their mean rank."""
    starts = np.flatnonzero(np.diff(level, prepend=-1))
    sizes = np.diff(starts, append=len(level))
    return np.repeat(starts + (sizes + 1) / 2, sizes)


def neighbour_overlap(x: Vectors, y: Float[np.ndarray, "text other"], k: int = 10) -> float:
    """Return the share of a text's `k` nearest neighbours by cosine that both models have in common.

    It is a mean over texts. By chance, it is k / (number of texts - 1). A text whose k-th and next neighbour are
    equally near is left out, because its k nearest neighbours are undefined. The result is NaN if no text is left, e.g.
    at a layer at which all texts have the same vector.
    """
    return neighbour_overlap_of_rows(x, y, k)(np.arange(len(x)))


def neighbour_overlap_of_rows(x: Vectors, y: Float[np.ndarray, "text other"], k: int = 10) -> OfRows:
    """Return a function that computes `neighbour_overlap` for a subset of the texts, given their rows.

    Cosines are computed only once.
    """
    sides = [cosines(v) for v in (x, y)]

    def of(rows: KeptRows) -> float:
        (near_x, defined_x), (near_y, defined_y) = (_neighbours(cosine[np.ix_(rows, rows)], k) for cosine in sides)
        common = (near_x & near_y).sum(axis=1)[defined_x & defined_y]
        return float(np.mean(common / k)) if len(common) else float("nan")

    return of


def _neighbours(
    cosine: Float[np.ndarray, "text text"], k: int
) -> tuple[Bool[np.ndarray, "text text"], Bool[np.ndarray, "text"]]:
    """Return two masks: whether text j is among the k nearest of text i, and whether the k nearest of i are defined.

    They are defined if the k-th neighbour is nearer than the next one by more than rounding.
    """
    n = len(cosine)
    np.fill_diagonal(cosine, -np.inf)
    if k + 1 >= n:
        return ~np.eye(n, dtype=bool), np.ones(n, dtype=bool)
    ends = np.partition(cosine, (n - k - 1, n - k), axis=1)
    near, beyond = ends[:, n - k], ends[:, n - k - 1]
    return cosine >= near[:, None], near - beyond > TIE


def cosines(x: Vectors) -> Float[np.ndarray, "text text"]:
    """Return the cosines of all pairs of texts."""
    u = unit(x)
    return np.asarray(u @ u.T)


def unit(x: Vectors) -> Vectors:
    """Scale vectors to length 1. A vector of length 0 is returned as it is."""
    length = np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(x / np.where(length > 0, length, 1))
