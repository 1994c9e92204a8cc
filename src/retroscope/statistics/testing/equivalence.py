"""Equivalence tests by two one-sided tests (TOST). A difference that is not significant may still be large."""

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
    """Return each column's p-value of the null hypothesis that the mean difference is `margin` or more in size.

    The p-value is the larger p of two one-sided t tests (Schuirmann 1987). A small p-value indicates that the mean lies
    within (-margin, margin). n is the number of texts. If all texts changed by the same amount, t is undefined, and the
    p-value is one of these:

    - In general, it is the exact one-sided sign-flip p-value: 1 / 2^n inside the margin, 1 outside.
    - If no outcome of 0 or 1 changed, it is (1 - margin)^n: the probability that none of n texts changes although a
      share `margin` of all texts does.
    - If the outcomes of 0 or 1 of every text changed by the same mean m, it is (1 - s)^n, where s is the share of texts
      that would have to change by 1 to bring the mean from m to the margin.

    Args:
        clusters: texts and passages that the queries share. Shared passages enlarge the standard error.

    Raises:
        SettingsError: if the margin is not above 0.
    """
    if not margin > 0:
        raise SettingsError(
            f"the equivalence margin is {margin}, but it must be above 0",
            fix="give the smallest difference that matters, e.g. margin=0.01",
        )
    change = paired_differences(before, after)
    shared_texts = clusters or independent(len(change))
    n = n_texts(change, shared_texts)
    p = np.maximum(t_test_p(change, -margin, "greater", shared_texts), t_test_p(change, margin, "less", shared_texts))
    shared = sharing(change, shared_texts)
    if shared is not None:
        p = shared.p_values(p, sides=1)
    same, flat = alike(change, shared_texts) & (n >= 2), constant(change)
    filled = np.nan_to_num(change)
    mean = np.abs(filled.sum(axis=0)) / np.maximum(n_pairs(change), 1)
    inside = np.where(flat, np.abs(filled).max(axis=0, initial=0.0), mean) < margin
    rest = np.maximum(1 - mean, np.finfo(np.float64).eps)
    unmoved = np.clip((1 - margin) / rest, 0.0, 1.0)  # 1 - share, where mean + share (1 - mean) = margin
    stayed = np.where(outcome_cells(before, after), unmoved, 0.5)
    p[same] = np.where(inside, stayed**n, 1.0)[same]
    return np.where(n >= 2, np.clip(p, np.finfo(np.float64).tiny, 1.0), np.nan)
