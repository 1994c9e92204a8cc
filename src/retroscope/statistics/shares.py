"""Which setting matters? The variance of a grid's means, shared out among its factors.

The grid is full and balanced, so the sums of squares of main effects and interactions add up to the total (Fisher
1925). What varies with the seed, alone or together with a setting, is the noise that the settings are seen against.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import xarray as xr

from retroscope.errors import AnalysisError

SEED = "seed"


def variance_shares(means: xr.DataArray) -> dict[str, float]:
    """Effect -> share of the variance; "a x b" is an interaction, "seed" all that the seed takes part in.

    Args:
        means: one number a cell; every dimension is a factor, those with one level say nothing.

    Raises:
        AnalysisError: if a cell is missing.
    """
    if bool(means.isnull().any()):
        raise AnalysisError("some cells of the grid have no value", where="variance_shares", fix="finish the grid")
    factors = [str(dim) for dim in means.dims if means.sizes[dim] > 1]
    parts = {chosen: _squares(means, chosen) for size in range(1, len(factors) + 1)
             for chosen in combinations(factors, size)}  # fmt: skip
    total = sum(parts.values())
    shares = {" x ".join(chosen): part for chosen, part in parts.items() if SEED not in chosen}
    if SEED in factors:
        shares[SEED] = sum(part for chosen, part in parts.items() if SEED in chosen)
    return {name: part / total if total > 0 else float("nan") for name, part in shares.items()}


def _squares(means: xr.DataArray, chosen: Sequence[str]) -> float:
    """Sum of squares of the interaction of these factors, what their subsets explain taken out."""
    effect = means.mean([dim for dim in means.dims if dim not in chosen])
    for factor in chosen:
        effect = effect - effect.mean(factor)
    return float((effect**2).sum()) * means.size / int(np.prod([means.sizes[factor] for factor in chosen]))
