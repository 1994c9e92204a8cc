"""Test whether a value could be one more draw of a normal sample (Student's prediction interval)."""

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student


def prediction_p(top: float, draws: Float[np.ndarray, "draw"]) -> float:
    """Return the one-sided p of the null hypothesis that `top` is one more draw. It is small if top lies below the
    draws.

    The test is t = (mean(draws) - top) / (sd(draws) sqrt(1 + 1 / m)) with m - 1 degrees of freedom (Geisser, Predictive
    Inference, 1993). The queries are taken as fixed: the test is about which neurons, or changes, were drawn. If all
    draws are equal (e.g. random changes that alter no rank), they have no spread and are not normal. The result is then
    the rank probability, at least 1 / (1 + m), however far the top lies from the draws. It is exact: if one of m + 1
    exchangeable values differs from the others, it is the top with this probability. p = .05 needs 19 equal draws, and
    more by the factor of Holm's correction. The result is NaN for a single draw, which has no spread.
    """
    m = len(draws)
    if m < 2:
        return math.nan
    if np.ptp(draws) == 0:
        return float((1 + (draws <= top).sum()) / (1 + m))
    t = (draws.mean() - top) / (draws.std(ddof=1) * math.sqrt(1 + 1 / m))
    return float(student.sf(t, m - 1))
