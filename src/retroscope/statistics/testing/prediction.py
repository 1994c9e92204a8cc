"""Test whether a value (e.g. the effect of the top neurons) lies below a normal sample (e.g. of random neurons)."""

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student


def prediction_p(top: float, draws: Float[np.ndarray, "draw"]) -> float:
    """Return the one-sided p-value of the null hypothesis that `top` comes from the same distribution as the draws.

    The p-value is small if `top` lies below the draws. The test is that of Student's prediction interval: t =
    (mean(draws) - top) / (sd(draws) sqrt(1 + 1 / m)) with m - 1 degrees of freedom for m draws (Geisser, Predictive
    Inference, 1993). The queries are taken as fixed: only the neurons, or changes, are random. If all draws are equal
    (e.g. random changes that alter no rank), their standard deviation is 0. The result is then (1 + number of draws at
    or below `top`) / (1 + m), which is exact and at least 1 / (1 + m), however far `top` lies below the draws. p = .05
    needs 19 equal draws. After Holm's correction over k tests it needs about k times as many. The result is NaN for
    fewer than two draws.
    """
    m = len(draws)
    if m < 2:
        return math.nan
    if np.ptp(draws) == 0:
        return float((1 + (draws <= top).sum()) / (1 + m))
    t = (draws.mean() - top) / (draws.std(ddof=1) * math.sqrt(1 + 1 / m))
    return float(student.sf(t, m - 1))
