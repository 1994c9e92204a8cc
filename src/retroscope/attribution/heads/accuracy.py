"""Compare first-order estimates of head ablation with exact ablation of the same heads and queries.

This module does not import torch.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

FEWEST_HEADS = 3  # below which a correlation says nothing


@dataclass(frozen=True)
class EstimateError:
    """Agreement of first-order estimates with exact ablations of the same attention heads.

    Each head has two numbers: the estimated and the exact change of the margin, as means over queries.

    Attributes:
        heads: how many heads were ablated exactly.
        correlation: Pearson's correlation over heads. NaN with fewer than 3 heads, or if all estimates or all exact
            changes are equal.
        rank_correlation: Spearman's correlation, or NaN in the same cases.
        largest: largest absolute difference between the estimated and the exact change of a head.
        largest_effect: largest absolute exact change, with which to compare `largest`.
    """

    heads: int
    correlation: float
    rank_correlation: float
    largest: float
    largest_effect: float


def estimate_error(estimates: Float[np.ndarray, "query head"], exact: Float[np.ndarray, "query head"]) -> EstimateError:
    """Compare estimated with exact changes of the margin, head by head. Each head's changes are averaged over queries.

    Args:
        estimates: first-order estimates of the change of each query's margin if a head is ablated.
        exact: the measured changes.
    """
    estimated, measured = estimates.mean(0), exact.mean(0)
    nothing = (math.nan, math.nan)
    spread = len(estimated) >= FEWEST_HEADS and np.ptp(estimated) > 0 and np.ptp(measured) > 0
    both = (
        (float(np.corrcoef(estimated, measured)[0, 1]), float(spearmanr(estimated, measured).statistic))
        if spread
        else nothing
    )
    largest, size = (float(np.abs(values).max(initial=0.0)) for values in (estimated - measured, measured))
    return EstimateError(len(estimated), *both, largest, size)
