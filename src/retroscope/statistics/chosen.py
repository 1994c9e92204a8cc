"""Select the best of many variants without optimism: selection on some queries, report on others.

The largest of many means is biased upwards, because a variant can have the largest mean by luck. Here, the variant for
the queries of a fold is the one with the best mean over all other folds. The mean over all queries then estimates the
result of choosing a variant first and measuring it on new queries.
"""

import numpy as np
from jaxtyping import Float, Int

from retroscope.statistics.resampling.clusters import Clusters
from retroscope.statistics.resampling.shared_passages import standard_error


def chosen_on_others(
    values: Float[np.ndarray, "query variant"], folds: Int[np.ndarray, "query"], default: int, clusters: Clusters
) -> Int[np.ndarray, "fold"]:
    """Return, for every fold, the variant with the largest mean over the queries of the other folds.

    The default is kept if the best of the other variants exceeds it by no more than one standard error of their paired
    difference (Breiman et al. 1984, the one-standard-error rule), because a selection among equal variants would be
    noise. Queries of one text are one observation for that standard error. Of equal variants the first is selected. A
    variant that was not measured on every query (NaN) is never selected.

    Args:
        folds: fold of every query, from 0. The queries of a text are in one fold.
        default: the variant to keep unless another is better.
        clusters: the texts of the queries.
    """
    usable = np.where(np.isfinite(values).all(axis=0), values, -np.inf)
    others = [folds != fold for fold in range(int(folds.max()) + 1)]
    return np.array([_better(usable[kept], default, clusters.only(kept)) for kept in others])


def _better(values: Float[np.ndarray, "query variant"], default: int, clusters: Clusters) -> int:
    top = int(values.mean(axis=0).argmax())
    gain = values[:, top] - values[:, default]
    return top if gain.mean() > float(standard_error(gain[:, None], clusters)[0]) else default
