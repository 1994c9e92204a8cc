"""Select the best of many variants on some queries and evaluate it on others, so that its mean is not biased upwards.

The largest of many means is biased upwards, because a variant can have the largest mean by luck. Here, the queries of a
fold are evaluated with the variant that has the best mean over all other folds. The mean over all queries then
estimates the result of choosing a variant first and measuring it on new queries.
"""

import numpy as np
from jaxtyping import Float, Int

from retroscope.statistics.resampling.clusters import Clusters
from retroscope.statistics.resampling.shared_passages import standard_error


def chosen_on_others(
    values: Float[np.ndarray, "query variant"], folds: Int[np.ndarray, "query"], default: int, clusters: Clusters
) -> Int[np.ndarray, "fold"]:
    """Return, for every fold, the index of the variant with the largest mean over the queries of the other folds.

    The default is kept if the best variant exceeds it by no more than one standard error of their paired difference
    (Breiman et al. 1984, the one-standard-error rule), because a selection among equal variants would be noise. Queries
    with one text are one observation for that standard error. Of equal variants the first is selected. A variant that
    was not measured on every query (NaN) is never selected.

    Args:
        folds: index of the fold of every query, from 0. Queries with the same text are in one fold.
        default: index of the variant to keep unless another is better.
        clusters: which queries have the same text.
    """
    usable = np.where(np.isfinite(values).all(axis=0), values, -np.inf)
    in_other_folds = [folds != fold for fold in range(int(folds.max()) + 1)]
    return np.array([_better(usable[mask], default, clusters.only(mask)) for mask in in_other_folds])


def _better(values: Float[np.ndarray, "query variant"], default: int, clusters: Clusters) -> int:
    top = int(values.mean(axis=0).argmax())
    gain = values[:, top] - values[:, default]
    return top if gain.mean() > float(standard_error(gain[:, None], clusters)[0]) else default
