"""Similarity of two models by the cosines of all pairs of texts: RSA and common neighbours (1: equal).

Both are prepared once for all texts, and then computed for any rows of them: an interval needs many.
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
    """Return the Spearman correlation of the cosines of all pairs: RSA (Kriegeskorte et al., 2008)."""
    return rsa_of_rows(x, y)(np.arange(len(x)))


def rsa_of_rows(x: Vectors, y: Float[np.ndarray, "text other"]) -> OfRows:
    """Return RSA as a function of the rows of some texts. All pairs are sorted once."""
    sides = [_SortedPairs.of(cosines(v)) for v in (x, y)]

    def of(rows: KeptRows) -> float:
        kept = np.zeros(len(x), dtype=bool)
        kept[rows] = True
        one, two = (side.ranks(kept) for side in sides)
        one, two = one - one.mean(), two - two.mean()
        size = np.sqrt((one @ one) * (two @ two))
        return float(one @ two / size) if size > 0 else float("nan")

    return of


@dataclass(frozen=True, eq=False)
class _SortedPairs:
    """All pairs of texts by ascending cosine.

    Attributes:
        first: text of each pair, in that order.
        second: the other text of each pair.
        level: a number that rises wherever the cosine does.
        order: the number of each pair among those of the upper triangle, row by row.
    """

    first: Int[np.ndarray, "pair"]
    second: Int[np.ndarray, "pair"]
    level: Int[np.ndarray, "pair"]
    order: Int[np.ndarray, "pair"]

    @classmethod
    def of(cls, found: Float[np.ndarray, "text text"]) -> "_SortedPairs":
        first, second = (rows.astype(np.int32) for rows in np.triu_indices(len(found), 1))
        values = found[first, second]
        order = np.argsort(values).astype(np.int32)
        level = np.cumsum(np.diff(values[order], prepend=-np.inf) > 0, dtype=np.int32)
        return cls(first[order], second[order], level, order)

    def ranks(self, kept: Bool[np.ndarray, "text"]) -> Float[np.ndarray, "some"]:
        """Return the ranks of the pairs of the kept texts among themselves, ties at their mean, row by row."""
        some = kept[self.first] & kept[self.second]
        ranks = np.zeros(len(some))  # a rank is at least 1
        ranks[self.order[some]] = _mean_ranks(self.level[some])
        return ranks[ranks > 0]


def _mean_ranks(level: Int[np.ndarray, "some"]) -> Float[np.ndarray, "some"]:
    """Return the ranks of ascending whole numbers, equal ones at their mean rank."""
    starts = np.flatnonzero(np.diff(level, prepend=-1))
    sizes = np.diff(starts, append=len(level))
    return np.repeat(starts + (sizes + 1) / 2, sizes)


def neighbour_overlap(x: Vectors, y: Float[np.ndarray, "text other"], k: int = 10) -> float:
    """Return the mean share of a text's `k` nearest neighbours by cosine that are equal in both models.

    By chance it is k / (texts - 1).

    A text whose k-th and next neighbour are equally near is left out, because its k nearest are undefined. The result
    is NaN if no text is left (a layer at which all texts have the same vector).
    """
    return neighbour_overlap_of_rows(x, y, k)(np.arange(len(x)))


def neighbour_overlap_of_rows(x: Vectors, y: Float[np.ndarray, "text other"], k: int = 10) -> OfRows:
    """Return the overlap of neighbours as a function of the rows of some texts. Cosines are computed once."""
    sides = [cosines(v) for v in (x, y)]

    def of(rows: KeptRows) -> float:
        (one, clear), (two, clear_too) = (_neighbours(found[np.ix_(rows, rows)], k) for found in sides)
        common = (one & two).sum(axis=1)[clear & clear_too]
        return float(np.mean(common / k)) if len(common) else float("nan")

    return of


def _neighbours(
    found: Float[np.ndarray, "text text"], k: int
) -> tuple[Bool[np.ndarray, "text text"], Bool[np.ndarray, "text"]]:
    """Return which texts are the nearest of each, and whether each is nearer than the next by more than rounding."""
    n = len(found)
    np.fill_diagonal(found, -np.inf)
    if k + 1 >= n:
        return ~np.eye(n, dtype=bool), np.ones(n, dtype=bool)
    ends = np.partition(found, (n - k - 1, n - k), axis=1)
    near, beyond = ends[:, n - k], ends[:, n - k - 1]
    return found >= near[:, None], near - beyond > TIE


def cosines(x: Vectors) -> Float[np.ndarray, "text text"]:
    """Return the cosines of all pairs of texts."""
    u = unit(x)
    return np.asarray(u @ u.T)


def unit(x: Vectors) -> Vectors:
    """Scale vectors to length 1. A vector of length 0 stays."""
    length = np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(x / np.where(length > 0, length, 1))
