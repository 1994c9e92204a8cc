"""Compute the area between two curves for every query, and an interval of the mean area."""

import numpy as np
from jaxtyping import Float

from retroscope.errors import SettingsError
from retroscope.statistics.resampling.clusters import Clusters
from retroscope.statistics.resampling.intervals import DEFAULT, Interval, IntervalSettings, bootstrap_mean

Curves = Float[np.ndarray, "query *cell fraction"]


def area_weights(fractions: Float[np.ndarray, "fraction"]) -> Float[np.ndarray, "fraction"]:
    """Return the weights that turn the values of a curve into its mean height over log10 of the fractions.

    The trapezoidal rule on x_i = log10(f_i), over the length x_m - x_1: w_i = (x_{i+1} - x_{i-1}) / (2 (x_m - x_1)),
    with x_0 = x_1 and x_{m+1} = x_m. The weights sum to 1, so a mean height has the units of the curve. It is exact for
    curves that are straight between the fractions, and does not depend on the base of the logarithm or on the scale of
    the fractions. A single fraction has the weight 1, the limit of a shrinking range of fractions.

    Raises:
        SettingsError: if the fractions are not positive and rising.
    """
    given = np.asarray(fractions, dtype=np.float64)
    x = np.log10(given, where=given > 0, out=np.full(given.shape, np.nan))
    if not (given.size and np.isfinite(x).all() and (np.diff(x) > 0).all()):
        raise SettingsError(
            f"the fractions {given.tolist()} are empty, not all positive, or not in rising order",
            fix="give positive fractions in rising order, e.g. 0.01, 0.1",
        )
    if given.size == 1:
        return np.ones(1)
    ends = np.concatenate([x[:1], x, x[-1:]])
    return np.asarray((ends[2:] - ends[:-2]) / (2 * (x[-1] - x[0])))


def area_between(upper: Curves, lower: Curves, fractions: Float[np.ndarray, "fraction"]) -> np.ndarray:
    """Return the mean height of `upper` above `lower`, [query, *cell], negative if below, NaN with gaps."""
    return np.asarray((np.asarray(upper, np.float64) - np.asarray(lower, np.float64)) @ area_weights(fractions))


def mean_area_between(
    upper: Curves,
    lower: Curves,
    fractions: Float[np.ndarray, "fraction"],
    settings: IntervalSettings = DEFAULT,
    clusters: Clusters | None = None,
) -> Interval:
    """Return the mean area between two curves over queries, with its bootstrap interval over queries.

    The area is linear in the curves, so its mean is the area between the mean curves. Whole texts of queries are
    resampled, with both curves and all fractions, because these are not independent.
    """
    return bootstrap_mean(area_between(upper, lower, fractions), settings, clusters)
