"""Area between two curves over the fraction of ablated neurons: for every query, and as a mean with its interval."""

import numpy as np
from jaxtyping import Float

from retroscope.errors import SettingsError
from retroscope.statistics.resampling.clusters import Clusters
from retroscope.statistics.resampling.intervals import DEFAULT, Interval, IntervalSettings, bootstrap_mean

Curves = Float[np.ndarray, "query *cell fraction"]


def area_weights(fractions: Float[np.ndarray, "fraction"]) -> Float[np.ndarray, "fraction"]:
    """Return one weight per fraction, so that a curve's weighted sum is its mean height over log10 of the fractions.

    The trapezoidal rule on x_i = log10(f_i), over the length x_m - x_1: w_i = (x_{i+1} - x_{i-1}) / (2 (x_m - x_1)),
    with x_0 = x_1 and x_{m+1} = x_m. The weights sum to 1, so a mean height has the units of the curve. The mean height
    is exact for curves that are straight between the fractions. It depends neither on the base of the logarithm nor on
    the scale of the fractions. A single fraction has the weight 1.

    Raises:
        SettingsError: if the fractions are not positive and rising.
    """
    values = np.asarray(fractions, dtype=np.float64)
    x = np.log10(values, where=values > 0, out=np.full(values.shape, np.nan))
    if not (values.size and np.isfinite(x).all() and (np.diff(x) > 0).all()):
        raise SettingsError(
            f"invalid fractions {fractions.tolist()}: a curve needs at least one, all above 0 and in rising order",
            fix="give fractions above 0 in rising order, e.g. 0.01, 0.1",
        )
    if values.size == 1:
        return np.ones(1)
    ends = np.concatenate([x[:1], x, x[-1:]])
    return np.asarray((ends[2:] - ends[:-2]) / (2 * (x[-1] - x[0])))


def area_between(upper: Curves, lower: Curves, fractions: Float[np.ndarray, "fraction"]) -> np.ndarray:
    """Return the mean height of `upper` above `lower` over log10 of the fractions; NaN where a curve has a NaN.

    There is one value for each query and pair of curves. It is negative where `upper` lies below `lower`.
    """
    return np.asarray((np.asarray(upper, np.float64) - np.asarray(lower, np.float64)) @ area_weights(fractions))


def mean_area_between(
    upper: Curves,
    lower: Curves,
    fractions: Float[np.ndarray, "fraction"],
    settings: IntervalSettings = DEFAULT,
    clusters: Clusters | None = None,
) -> Interval:
    """Return the area between two curves, averaged over queries, with its bootstrap interval over queries.

    The area is linear in the curves, so the mean area is the area between the mean curves. The bootstrap resamples
    query texts. Both curves of a text stay together at all fractions, because they are not independent.
    """
    return bootstrap_mean(area_between(upper, lower, fractions), settings, clusters)
