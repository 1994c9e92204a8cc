"""Equivalence tests: two one-sided tests. A difference that is not significant does not show that there is none."""

import numpy as np

from retroscope.errors import SettingsError
from retroscope.statistics.resampling.clusters import Clusters, independent
from retroscope.statistics.resampling.flips import PValues
from retroscope.statistics.resampling.outcomes import outcome_cells
from retroscope.statistics.resampling.shared_passages import sharing
from retroscope.statistics.testing.paired import (
    QueryValues,
    alike,
    constant,
    n_pairs,
    n_texts,
    paired_differences,
    t_test_p,
)


def tost(before: QueryValues, after: QueryValues, margin: float, clusters: Clusters | None = None) -> PValues:
    """Return the p-value of "the mean difference is at least `margin` in size" for every cell.

    The p-value is the larger p of two one-sided t tests (Schuirmann 1987); a small value indicates that the mean lies
    within (-margin, margin). If all texts changed by the same amount, t is undefined: the cell gets the exact one-sided
    sign-flip value, 1 / 2^n inside the margin and 1 outside. If none of n outcomes of 0 or 1 changed, the value is (1 -
    margin)^n: the probability that none of them changes although a share `margin` of all outcomes does. If the outcomes
    of every text changed by the same mean m, the value is (1 - share)^n: that share of texts would have to change by 1
    to bring the mean from m to the margin. n counts texts; shared passages (`clusters`) enlarge the standard error.

    Raises:
        SettingsError: if the margin is not above 0.
    """
    if not margin > 0:
        raise SettingsError(
            f"the margin of equivalence is {margin}, which is not above 0",
            fix="state the smallest difference that matters, above 0, e.g. margin=0.01",
        )
    change = paired_differences(before, after)
    what = clusters or independent(len(change))
    n = n_texts(change, what)
    p = np.maximum(t_test_p(change, -margin, "greater", what), t_test_p(change, margin, "less", what))
    shared = sharing(change, what)
    if shared is not None:
        p = shared.p_values(p, sides=1)
    same, flat = alike(change, what) & (n >= 2), constant(change)
    filled = np.nan_to_num(change)
    mean = np.abs(filled.sum(axis=0)) / np.maximum(n_pairs(change), 1)
    inside = np.where(flat, np.abs(filled).max(axis=0, initial=0.0), mean) < margin
    rest = np.maximum(1 - mean, np.finfo(np.float64).eps)
    unmoved = np.clip((1 - margin) / rest, 0.0, 1.0)  # 1 - share, where mean + share (1 - mean) = margin
    stayed = np.where(outcome_cells(before, after), unmoved, 0.5)
    p[same] = np.where(inside, stayed**n, 1.0)[same]
    return np.where(n >= 2, np.clip(p, np.finfo(np.float64).tiny, 1.0), np.nan)
