"""How sure is a share? The ratio of two means that the same queries give, with Fieller's interval.

Fieller (1954): the values r that a t test of mean(numerator - r denominator) = 0 does not reject. Where the denominator
is not significant they are no interval, and there is no share.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import t as student


@dataclass(frozen=True)
class Ratio:
    """A ratio of two means, and the ends of its interval; all NaN where there is none."""

    value: float
    low: float
    high: float


def by_text(values: Float[np.ndarray, "query"], texts: Int[np.ndarray, "query"] | None) -> Float[np.ndarray, "text"]:
    """Return the sums over the queries of one text, which count once: their ratio is that of the queries' means."""
    return values if texts is None else np.bincount(np.unique(texts, return_inverse=True)[1], weights=values)


def ratio_of_means(
    numerator: Float[np.ndarray, "query"], denominator: Float[np.ndarray, "query"], level: float = 0.95
) -> Ratio:
    """Return mean(numerator) / mean(denominator), paired by query, with Fieller's interval.

    NaN below two queries, and where the mean of the denominator may be 0 at this level.
    """
    none = Ratio(math.nan, math.nan, math.nan)
    n = len(numerator)
    if n < 2:
        return none
    a, b = float(np.mean(numerator)), float(np.mean(denominator))
    (va, cab), (_, vb) = np.cov(numerator, denominator) / n
    t = float(student.ppf((1 + level) / 2, n - 1)) ** 2
    rest = b * b - t * vb
    if rest <= 0:
        return none
    middle = (a * b - t * cab) / rest
    half = math.sqrt(max(0.0, (a * b - t * cab) ** 2 - rest * (a * a - t * va))) / rest
    return Ratio(a / b, middle - half, middle + half)
