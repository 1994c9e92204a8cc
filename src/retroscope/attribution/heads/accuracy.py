"""Compare first-order estimates of head ablation with exact ablation of the same heads and queries. No torch."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

FEWEST_HEADS = 3  # below which a correlation says nothing


@dataclass(frozen=True)
class EstimateError:
    """Agreement of first-order estimates with exact ablations of the same heads, in means over queries.

    Attributes:
        heads: number of heads that were measured exactly.
        correlation: Pearson's correlation over heads. NaN below `FEWEST_HEADS`, or if estimates or exact changes have
            no spread.
        rank_correlation: Spearman's correlation, or NaN in the same cases.
        largest: largest absolute difference of the two.
        largest_effect: largest absolute exact change, with which to compare `largest`.
    """

    heads: int
    correlation: float
    rank_correlation: float
    largest: float
    largest_effect: float


def estimate_error(estimates: Float[np.ndarray, "query head"], exact: Float[np.ndarray, "query head"]) -> EstimateError:
    """Compare estimated with exact changes of the margin, head by head, in means over the same queries."""
    one, two = estimates.mean(0), exact.mean(0)
    nothing = (math.nan, math.nan)
    spread = len(one) >= FEWEST_HEADS and np.ptp(one) > 0 and np.ptp(two) > 0
    both = (float(np.corrcoef(one, two)[0, 1]), float(spearmanr(one, two).statistic)) if spread else nothing
    largest, size = (float(np.abs(values).max(initial=0.0)) for values in (one - two, two))
    return EstimateError(len(one), *both, largest, size)
