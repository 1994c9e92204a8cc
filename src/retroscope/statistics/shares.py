"""Shares of variance: how much of the variance of a grid's means each factor explains (e.g. part, strategy, labels).

The grid is full and balanced, so the sums of squares of main effects and interactions add up to the total (Fisher
1925). A share of the total (eta squared) is above 0 even for a factor without any effect, because noise alone adds the
factor's degrees of freedom times the mean square of noise. Omega squared (Hays 1963) subtracts this amount:

    (SS - df MS_noise) / (SS_total + MS_noise)

Noise is the interaction of the seed with the other factors. The main effect of the seed changes all cells alike, so it
is not part of the noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import xarray as xr

from retroscope.errors import AnalysisError

SEED = "seed"


@dataclass(frozen=True)
class Share:
    """The share of the variance of a grid's means that one factor or interaction explains.

    Attributes:
        share: omega squared, at least 0. With a single seed the noise is not known, and `share` is eta squared.
        raw: eta squared, the observed share.
        noise: the eta squared that noise alone would give, or NaN for a single seed.
    """

    share: float
    raw: float
    noise: float


def variance_shares(means: xr.DataArray) -> dict[str, Share]:
    """Map each factor or interaction ("a x b") to the share of the variance that it explains.

    "seed" gets the share that no other factor or interaction explains.

    Args:
        means: one number for each cell of the grid. Every dimension is a factor. Factors with one level are ignored.

    Raises:
        AnalysisError: if a cell has no value.
    """
    if bool(means.isnull().any()):
        raise AnalysisError(
            f"{int(means.isnull().sum())} combinations of factor levels have no value",
            where="variance_shares",
            fix="measure every combination of the factors",
        )
    factors = [str(dim) for dim in means.dims if means.sizes[dim] > 1]
    parts = {subset: _squares(means, subset) for size in range(1, len(factors) + 1)
             for subset in combinations(factors, size)}  # fmt: skip
    total = sum(parts.values())
    mixed = [subset for subset in parts if SEED in subset and len(subset) > 1]
    noise = sum(parts[c] for c in mixed) / sum(_df(means, c) for c in mixed) if mixed else float("nan")
    shares = {" x ".join(c): _share(part, _df(means, c), total, noise) for c, part in parts.items() if SEED not in c}
    if SEED in factors:
        raw = sum(part for subset, part in parts.items() if SEED in subset) / total if total > 0 else float("nan")
        shares[SEED] = Share(1 - sum(other.share for other in shares.values()), raw, float("nan"))
    return shares


def _share(squares: float, df: int, total: float, noise: float) -> Share:
    if not total > 0:
        return Share(float("nan"), float("nan"), float("nan"))
    if np.isnan(noise):
        return Share(squares / total, squares / total, float("nan"))
    return Share(max(0.0, squares - df * noise) / (total + noise), squares / total, df * noise / total)


def _df(means: xr.DataArray, subset: Sequence[str]) -> int:
    return int(np.prod([means.sizes[factor] - 1 for factor in subset]))


def _squares(means: xr.DataArray, subset: Sequence[str]) -> float:
    """Return the sum of squares of the interaction of these factors, without main effects and lower interactions."""
    effect = means.mean([dim for dim in means.dims if dim not in subset])
    for factor in subset:
        effect = effect - effect.mean(factor)
    return float((effect**2).sum()) * means.size / int(np.prod([means.sizes[factor] for factor in subset]))
