"""The ratio of two means over the same queries, with Fieller's interval.

Fieller's interval (1954) holds the values r for which a t test does not reject mean(numerator - r denominator) = 0. If
the denominator is not significant, these values form no interval, and no share is given.

Queries of one text are one observation of the t test. Shared passages enlarge its standard error, as for every mean
(`resampling.shared_passages`). The factor is the widening of numerator - r denominator at the estimate of r. An effect
of passages that is proportional in numerator and denominator therefore does not widen the interval. The widening of the
denominator decides whether there is a share.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from retroscope.statistics.resampling.clusters import Clusters, independent
from retroscope.statistics.resampling.shared_passages import sharing


@dataclass(frozen=True)
class Ratio:
    """A ratio of two means with the ends of its interval. All NaN if it is undefined."""

    value: float
    low: float
    high: float


NO_RATIO = Ratio(math.nan, math.nan, math.nan)


def ratio_of_means(
    numerator: Float[np.ndarray, "query"],
    denominator: Float[np.ndarray, "query"],
    level: float = 0.95,
    clusters: Clusters | None = None,
) -> Ratio:
    """Return mean(numerator) / mean(denominator), paired by query, with Fieller's interval.

    The ratio is NaN for fewer than two texts, and if the mean of the denominator may be 0 at this level.

    Args:
        clusters: texts and passages that the queries share. If None, they share nothing.
    """
    what = clusters or independent(len(numerator))
    if what.n_texts < 2 or not np.mean(denominator):
        return NO_RATIO
    both = np.stack([numerator, denominator], axis=1)
    sums = what.sums(both)
    a, b = (float(mean) for mean in sums.mean(axis=0))
    (va, cab), (_, vb) = np.cov(sums.T) / len(sums)
    of_share, of_whole = _critical(both @ np.array([[1.0, 0.0], [-a / b, 1.0]]), level, what)
    if b * b <= max(of_share, of_whole) * vb:
        return NO_RATIO
    rest = b * b - of_share * vb
    middle = (a * b - of_share * cab) / rest
    half = math.sqrt(max(0.0, (a * b - of_share * cab) ** 2 - rest * (a * a - of_share * va))) / rest
    return Ratio(a / b, middle - half, middle + half)


def _critical(values: Float[np.ndarray, "query cell"], level: float, clusters: Clusters) -> Float[np.ndarray, "cell"]:
    """Return, for every cell, the squared t value above which a t test of the mean rejects."""
    t = student.ppf((1 + level) / 2, clusters.n_texts - 1)
    shared = sharing(values, clusters)
    return np.asarray((t * (1.0 if shared is None else shared.widening(level))) ** 2 * np.ones(values.shape[1]))
