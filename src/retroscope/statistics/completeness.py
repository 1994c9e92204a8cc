"""Summarise completeness gaps of path integrals by site (layer x FFN matrix), and choose the site to judge.

One median over all sites hides the site that matters: a network's lowest block may hold most of the attribution and
be integrated worst, while the others are exact. So does a weight by attribution alone: a layer whose few strong neurons
are the top ones may hold little of the total.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

WORST = 0.99  # the quantile of the units' gaps beside the median
MATTERS = 0.5  # of an even share: a site that holds less of its matrix's attribution and top neurons is not judged
ALWAYS = 0.1  # of its matrix's attribution or top neurons: a site that holds as much is judged in any model
TOP = 0.01  # of the neurons of a matrix, over all layers

UnitCells = Float[np.ndarray, "unit part layer"]
Sites = Float[np.ndarray, "part layer"]


@dataclass(frozen=True, eq=False)
class SiteGaps:
    """Completeness gaps of every site over examples, or NaN where no example has one.

    Attributes:
        median: median over examples.
        worst: quantile `WORST` over examples.
        weight: mean over examples of the site's share of the total magnitude of its part.
        top: the site's share of the top neurons of its part; NaN if no neuron is ranked.
    """

    median: Sites
    worst: Sites
    weight: Sites
    top: Sites

    @property
    def judged(self) -> tuple[int, int] | None:
        """Return (part, layer) by position: the site that matters with the largest median gap, or None without gaps.

        A site matters if it has at least half of an even share, or a tenth, of the attribution or of the top neurons
        of its part.
        """
        least = min(MATTERS / self.weight.shape[1], ALWAYS)
        matter = ((self.weight >= least) | (self.top >= least)) & np.isfinite(self.median)
        if not matter.any():
            return None
        part, layer = np.unravel_index(np.where(matter, self.median, -np.inf).argmax(), self.median.shape)
        return int(part), int(layer)

    @property
    def weighted(self) -> Float[np.ndarray, "part"]:
        """Return the mean of the median gaps of each part, weighted by attribution."""
        known = np.isfinite(self.median)
        weight = np.where(known, self.weight, 0.0)
        total = weight.sum(1)
        sums = (weight * np.where(known, self.median, 0.0)).sum(1)
        return _over(sums, total)


def site_gaps(gap: UnitCells, total: UnitCells, shares: Sequence[Float[np.ndarray, "layer neuron"]]) -> SiteGaps:
    """Return the gaps by site; examples whose gap is NaN do not count.

    Args:
        gap: |sum of signed values - (F(1) - F(0))| over the sum of the absolute values.
        total: sum of magnitudes.
        shares: for each part, the values by which its neurons are ranked.
    """
    share = _over(total, np.broadcast_to(total.sum(2, keepdims=True), total.shape))
    share = np.where(np.isfinite(gap), share, np.nan)
    return SiteGaps(_over_units(gap, 0.5), _over_units(gap, WORST), _means(share), np.stack(list(map(_top, shares))))


def _top(values: Float[np.ndarray, "layer neuron"]) -> Float[np.ndarray, "layer"]:
    """Return the share of the top neurons that each layer has."""
    layers, width = values.shape
    if not np.isfinite(values).all() or not values.any():
        return np.full(layers, np.nan)
    n = max(1, int(TOP * values.size + 0.5))  # as `attribution.selection.how_many`: halves are rounded up
    best = np.argsort(-values.ravel(), kind="stable")[:n] // width
    return np.bincount(best, minlength=layers) / n


def _over_units(values: UnitCells, quantile: float) -> Sites:
    values_of = np.full(values.shape[1:], np.nan)
    for place in np.ndindex(*values_of.shape):
        known = values[(slice(None), *place)]
        known = known[np.isfinite(known)]
        values_of[place] = np.quantile(known, quantile) if len(known) else np.nan
    return values_of


def _means(values: UnitCells) -> Sites:
    count = np.isfinite(values).sum(0)
    return _over(np.nansum(values, axis=0), count)


def _over(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Divide sums by counts. The result is NaN if a count is 0."""
    ratio: np.ndarray = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return ratio
