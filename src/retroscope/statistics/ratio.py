"""The ratio of two means over the same queries, with Fieller's interval.

Fieller's interval (1954) holds the values r for which a t test does not reject mean(numerator - r denominator) = 0. If
the mean of the denominator is not significant, these values form no bounded interval, and the ratio is NaN.

Queries of one text are one observation of the t test. Shared passages enlarge its standard error, as for every mean
(`resampling.shared_passages`). For the interval, the factor is that of numerator - r denominator at the estimate of r.
An effect of passages that is proportional in numerator and denominator therefore does not widen the interval. For the
test of the denominator, the factor is that of the denominator.
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
    """A ratio of two means with the ends of its interval; all three are NaN if the ratio is undefined."""

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

    The ratio is NaN for fewer than two query texts. It is also NaN if the mean of the denominator is not significantly
    different from 0.

    Args:
        level: confidence level of the interval.
        clusters: texts and passages that the queries share. If None, they share nothing.
    """
    shared_texts = clusters or independent(len(numerator))
    if shared_texts.n_texts < 2 or not np.mean(denominator):
        return NO_RATIO
    both = np.stack([numerator, denominator], axis=1)
    sums = shared_texts.sums(both)
    a, b = (float(mean) for mean in sums.mean(axis=0))
    (va, cab), (_, vb) = np.cov(sums.T) / len(sums)
    t2_ratio, t2_denominator = _critical(both @ np.array([[1.0, 0.0], [-a / b, 1.0]]), level, shared_texts)
    if b * b <= max(t2_ratio, t2_denominator) * vb:
        return NO_RATIO
    rest = b * b - t2_ratio * vb
    middle = (a * b - t2_ratio * cab) / rest
    half = math.sqrt(max(0.0, (a * b - t2_ratio * cab) ** 2 - rest * (a * a - t2_ratio * va))) / rest
    return Ratio(a / b, middle - half, middle + half)


def _critical(values: Float[np.ndarray, "query cell"], level: float, clusters: Clusters) -> Float[np.ndarray, "cell"]:
    """Return, for every column, the squared t value above which a t test rejects that the mean is 0."""
    t = student.ppf((1 + level) / 2, clusters.n_texts - 1)
    shared = sharing(values, clusters)
    return np.asarray((t * (1.0 if shared is None else shared.widening(level))) ** 2 * np.ones(values.shape[1]))
